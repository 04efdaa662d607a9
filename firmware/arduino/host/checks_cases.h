// Cases of which each begins with a chip that was never used: in a process of its own, or alone in this one if the program
// is told its number. A simulator has no processes.
#pragma once

#include <stdio.h>
#include <stdlib.h>

#if !defined(CHECKS_IN_A_SIMULATOR)
#include <sys/wait.h>
#include <unistd.h>
#endif

// What the program ends with if there is no case of that number.
static const int NO_SUCH_CASE = 2;

class Cases {
 public:
  Cases(int count, char** words) : _chosen(count > 1 ? atoi(words[1]) : ALL) {}

  // Whether it is right, as far as it is run.
  template <typename Run>
  bool each(Run run) {
    const int number = _next++;
    if (_chosen != ALL && number != _chosen) return true;
    const bool isRight = _chosen == ALL ? apart(run) : run();
    _wasRun = true;
    _areRight &= isRight;
    return isRight;
  }

  int ended() const { return _wasRun ? !_areRight : NO_SUCH_CASE; }

 private:
  static const int ALL = -1;

  template <typename Run>
  static bool apart(Run run) {
#if defined(CHECKS_IN_A_SIMULATOR)
    return run();
#else
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      const bool isRight = run();
      fflush(stdout);
      _Exit(!isRight);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return status == 0;
#endif
  }

  const int _chosen;
  int _next = 0;
  bool _wasRun = false, _areRight = true;
};
