use super::*;

const PEER: &str = "127.0.0.1:5";

fn origins(rule: Rule, state_file: Option<&Path>) -> Origins {
    Origins::open(rule, Duration::from_secs(60), None, state_file)
}

async fn ask(origins: &Origins, origin: &str) -> Result<(), String> {
    let peer = PEER.parse().expect("an address");
    let admitted = origins.admit(Some(origin), peer, &RefusalLog::default()).await;
    admitted.map_err(|refused| refused.rejection.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_question_lasts_sixty_seconds_and_leaves_nothing() {
    let origins = origins(Rule::Ask, None);
    let started = tokio::time::Instant::now();
    let refused = ask(&origins, "https://a.example").await.expect_err("no answer");
    assert!(refused.contains("nobody answered within 60 s"), "{refused}");
    assert_eq!(started.elapsed(), Duration::from_secs(60));
    assert!(origins.questions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn questions_and_those_who_wait_are_bounded() {
    let origins = origins(Rule::Ask, None);
    let mut waiting = Vec::new();
    for n in 0..ORIGIN_QUESTIONS_MAX {
        for _ in 0..ORIGIN_WAITING_MAX {
            let origin = format!("https://{n}.example");
            let peer = PEER.parse().expect("an address");
            let asked = origins.decide(&origin, peer, &RefusalLog::default());
            waiting.push(asked.ok().flatten().expect("a question"));
        }
    }
    assert_eq!(origins.questions().len(), ORIGIN_QUESTIONS_MAX);
    let again = ask(&origins, "https://0.example")
        .await
        .expect_err("too many of one");
    assert!(again.contains("of \"https://0.example\" wait"), "{again}");
    let another = ask(&origins, "https://another.example")
        .await
        .expect_err("too many");
    assert!(another.contains("16 origins wait"), "{another}");
    drop(waiting);
    assert!(origins.questions().is_empty());
}

#[tokio::test]
async fn what_no_browser_names_is_no_question() {
    let origins = origins(Rule::Ask, None);
    for origin in [
        "https://a\"",
        "https://a b",
        &format!("https://{}", "a".repeat(400)),
    ] {
        assert!(ask(&origins, origin).await.is_err(), "{origin}");
    }
}

#[tokio::test]
async fn a_faulty_file_counts_as_empty_and_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state.json");
    let file = folder.path().join("state.origins.json");
    std::fs::write(&file, "{").expect("a file");
    let first = origins(Rule::Any, Some(&state));
    assert!(first.remembered().is_empty());
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), "{");
    first.set("https://a.example", Verdict::Never);
    first
        .save("https://a.example")
        .expect("a folder that can be written");
    let kept = folder.path().join("state.origins.json.bak");
    assert_eq!(std::fs::read_to_string(kept).expect("a copy"), "{");
    // Another gateway's answer stays when this one saves its own.
    let second = origins(Rule::Any, Some(&state));
    second.set("https://b.example", Verdict::Always);
    second.save("https://b.example").expect("as before");
    assert!(first.forget("https://a.example"));
    first.save("https://a.example").expect("as before");
    let third = origins(Rule::Ask, Some(&state));
    assert_eq!(
        third.remembered(),
        [("https://b.example".to_owned(), Verdict::Always)]
    );
    assert_eq!(ask(&third, "https://b.example").await, Ok(()));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_an_error_and_the_answer_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    // Its folder is a file.
    let state = folder.path().join("file/state.json");
    std::fs::write(folder.path().join("file"), "").expect("a file");
    let origins = origins(Rule::Any, Some(&state));
    origins.set("https://a.example", Verdict::Never);
    let error = origins.save("https://a.example").expect_err("no folder");
    assert!(error.to_string().contains("until the gateway stops"), "{error}");
    assert!(ask(&origins, "https://a.example").await.is_err());
}

#[tokio::test]
async fn a_block_wins_over_the_list_and_an_answer_does_not() {
    let listed = origins(Rule::Listed(vec!["https://a.example".to_owned()]), None);
    assert_eq!(ask(&listed, "https://a.example").await, Ok(()));
    listed.set("https://a.example", Verdict::Never);
    assert!(ask(&listed, "https://a.example").await.is_err());
    listed.set("https://b.example", Verdict::Always);
    assert!(ask(&listed, "https://b.example").await.is_err());
}
