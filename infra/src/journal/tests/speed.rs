use std::time::Instant;
use domain::port::Journal as _;
use super::world::*;
use crate::journal::Outgoing;
fn p50(mut v: Vec<f64>) -> String { v.sort_by(f64::total_cmp); format!("p50 {:.3} p99 {:.3} ms", v[v.len()/2], v[v.len()*99/100]) }
#[tokio::test(flavor="multi_thread")]
async fn speed() {
    let world = World::new().await;
    let journal = world.journal().await;
    let wire = world.wire().await;
    let mut v = vec![];
    for n in 0..300 { let t = Instant::now(); wire.publish(Outgoing::new(format!("evt.acme._.user.x{n}"), vec![7;700]).expecting(0)).await.unwrap(); v.push(t.elapsed().as_secs_f64()*1e3); }
    eprintln!("raw {}", p50(v));
    let stream = participant();
    let mut tail = START; let mut v = vec![]; let mut l = vec![];
    for n in 0..300 {
        let t = Instant::now();
        journal.load(&stream, tail).await.unwrap();
        l.push(t.elapsed().as_secs_f64()*1e3);
        let t = Instant::now();
        tail = journal.append(consented(&stream, tail, &n.to_string())).await.unwrap().tail; v.push(t.elapsed().as_secs_f64()*1e3); }
    eprintln!("append {}\nload of nothing new {}", p50(v), p50(l));
    let guard = journal.append(site_opened(START, "oslo")).await.unwrap().tail;
    let mut v = vec![]; let mut w = vec![];
    for _ in 0..300 {
        journal.load(&study(), guard).await.unwrap();
        let d = domain::port::Draft { guard: Some((study(), guard)), ..consented(&participant(), START, "1") };
        let t = Instant::now(); journal.append(d).await.unwrap(); v.push(t.elapsed().as_secs_f64()*1e3);
        let d = domain::port::Draft { guard: Some((study(), guard)), ..consented(&participant(), START, "1") };
        let t = Instant::now(); journal.append(d).await.unwrap(); w.push(t.elapsed().as_secs_f64()*1e3);
    }
    eprintln!("guarded fresh {}\nguarded filler {}", p50(v), p50(w));
    let t = Instant::now(); let n = world.journal().await.load(&stream, START).await.unwrap().len();
    eprintln!("load {n} in {:?}", t.elapsed());
    let mut tasks = vec![];
    let journal = std::sync::Arc::new(journal);
    let t = Instant::now();
    for _ in 0..64 { let j = journal.clone(); tasks.push(tokio::spawn(async move { let s = participant(); let mut tail = START; for n in 0..100 { tail = j.append(consented(&s, tail, &n.to_string())).await.unwrap().tail; } })); }
    for t in tasks { t.await.unwrap(); }
    eprintln!("64 writers: {:.0}/s", 6400.0 / t.elapsed().as_secs_f64());
    let mut feed = world.journal().await.follow(&cardio(), 0).await.unwrap();
    let t = Instant::now(); let mut n = 0; while n < 7300 { n += feed.next(500).await.unwrap().len(); }
    eprintln!("feed {:.0}/s", n as f64 / t.elapsed().as_secs_f64());
}
