//! The front door.

use super::{Example, assert_starts_and_stops};

#[test]
fn it_starts_and_stops() {
    assert_starts_and_stops("demo", "/live");
}

#[test]
fn all_four_applications_are_behind_one_port() {
    let example = Example::start("demo", &[]);
    example.get("/").assert_page("<title>Sockeye</title>");
    for name in ["chat", "feed", "auth", "monitor"] {
        let link = format!("href=\"/{name}\"");
        assert!(example.get("/").body.contains(&link), "{link}");
        let title = format!("<title>Sockeye {name}</title>");
        example.get(&format!("/{name}")).assert_page(&title);
    }
    example.connect("/rooms/blue?name=ann").expect_open();
    example.connect("/feed").expect_open();
    example.connect("/live").expect_open();
    example.connect("/echo").expect_open();
    example.connect("/session").expect_open();
}

#[test]
fn what_the_pages_load_is_there_and_makes_no_markup_of_texts() {
    let example = Example::start("demo", &[]);
    for name in [
        "sockeye", "common", "theme", "demo", "chat", "feed", "slow", "auth", "monitor",
    ] {
        let script = example.get(&format!("/{name}.js"));
        script.assert_no_markup();
        let content_type = script.header("Content-Type");
        assert_eq!(content_type, "text/javascript; charset=utf-8", "{name}");
        assert_eq!(script.header("X-Content-Type-Options"), "nosniff");
    }
    for name in ["common", "demo", "chat", "feed", "auth", "monitor"] {
        let style = example.get(&format!("/{name}.css"));
        assert_eq!(style.status(), 200, "{name}");
        assert_eq!(style.header("Content-Type"), "text/css; charset=utf-8");
    }
}
