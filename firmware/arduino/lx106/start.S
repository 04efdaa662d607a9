// Where the core begins, and where it goes when an instruction fails.

  .section .reset, "ax"
  .global lx106Reset
lx106Reset:
  j begin
  .align 4
  .literal_position
begin:
  // No exception is being handled, and no interrupt comes.
  movi a2, 0
  wsr a2, intenable
  wsr a2, ps
  rsync
  movi a1, __stack
  // All of the stack holds this, until it is used.
  movi a2, 0x57AC57AC
  movi a3, __stack_end
1:
  s32i a2, a3, 0
  addi a3, a3, 4
  bltu a3, a1, 1b
  movi a3, lx106Start
  jx a3

  .section .vectors, "ax"
  .org 0x30  // as it is set up: an exception in the kernel's mode
  j failed
  .org 0x50  // and in the user's
  j failed
  .org 0x70  // and in one of these
  j failed
  .align 4
  .literal_position
failed:
  rsr a2, exccause
  rsr a3, epc1
  rsr a4, excvaddr
  // What the sketch had on its stack does not matter any more.
  movi a1, __stack
  movi a5, lx106Failed
  jx a5
