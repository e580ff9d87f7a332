//! Cuts a streamed body into lines, each of at most a command's size.

use axum::body::{Body, BodyDataStream};
use axum::http::StatusCode;
use edge::Problem;
use edge::json::COMMAND_BYTES_MAX;
use futures_util::stream::{self, Stream, StreamExt};

/// A line's number, from 1, and its bytes or why it cannot be read.
pub(super) type Line = (u64, Result<Vec<u8>, Problem>);

/// The lines of `body` that are not blank. A line that is too long is skipped to its end and the others go on.
pub(super) fn lines(body: Body) -> impl Stream<Item = Line> + Send {
    let cutter = Cutter {
        pieces: body.into_data_stream(),
        kept: Vec::new(),
        start: 0,
        seen: 0,
        number: 0,
        too_long: false,
        ended: false,
    };
    stream::unfold(cutter, async |mut cutter| cutter.next().await.map(|line| (line, cutter)))
}

struct Cutter {
    pieces: BodyDataStream,
    /// Bytes that were read.
    kept: Vec<u8>,
    /// Where the next line begins in them.
    start: usize,
    /// Up to where they are known to hold no line end.
    seen: usize,
    /// The number of the line before.
    number: u64,
    /// In the middle of a line that is too long: its bytes are thrown away.
    too_long: bool,
    ended: bool,
}

impl Cutter {
    async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.cut() {
                self.number += 1;
                if line.as_ref().is_ok_and(|line| line.trim_ascii().is_empty()) {
                    continue;
                }
                return Some((self.number, line));
            }
            if self.ended {
                return None;
            }
            match self.pieces.next().await {
                Some(Ok(piece)) => self.take(&piece),
                Some(Err(_)) => return Some((self.number + 1, Err(self.broken()))),
                None => {
                    self.ended = true;
                    if self.too_long || self.start < self.kept.len() {
                        self.kept.push(b'\n');
                    }
                }
            }
        }
    }

    fn take(&mut self, piece: &[u8]) {
        self.kept.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
        self.kept.extend_from_slice(piece);
    }

    /// The last line may be half a command that reads like a whole one, so it is not tried.
    fn broken(&mut self) -> Problem {
        self.ended = true;
        self.kept.clear();
        (self.start, self.seen, self.too_long) = (0, 0, false);
        Problem::bad_request("body-cut-off", "the body ended too early, before the end of this line")
    }

    /// The next line, if its end was read.
    fn cut(&mut self) -> Option<Result<Vec<u8>, Problem>> {
        let Some(length) = self.kept[self.seen..].iter().position(|byte| *byte == b'\n') else {
            self.too_long |= self.kept.len() - self.start > COMMAND_BYTES_MAX;
            if self.too_long {
                self.kept.clear();
                self.start = 0;
            }
            self.seen = self.kept.len();
            return None;
        };
        let end = self.seen + length;
        let line = &self.kept[self.start..end];
        let too_long = std::mem::take(&mut self.too_long) || line.len() > COMMAND_BYTES_MAX;
        let line = if too_long { Err(refuse()) } else { Ok(line.to_vec()) };
        (self.start, self.seen) = (end + 1, end + 1);
        Some(line)
    }
}

fn refuse() -> Problem {
    let detail = format!("a line may be {COMMAND_BYTES_MAX} bytes: send the command in smaller ones");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Bytes;

    use super::*;

    async fn cut(pieces: &[&[u8]]) -> Vec<(u64, Result<String, &'static str>)> {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
        let lines = lines(Body::from_stream(stream::iter(pieces))).collect::<Vec<_>>().await;
        let text = |line| String::from_utf8(line).expect("UTF-8");
        lines.into_iter().map(|(n, line)| (n, line.map(text).map_err(|problem| problem.code()))).collect()
    }

    #[tokio::test]
    async fn lines_are_cut_wherever_the_pieces_end() {
        let expected = vec![(1, Ok("ab".to_owned())), (4, Ok("cd\r".to_owned())), (5, Ok("e".to_owned()))];
        assert_eq!(cut(&[b"ab\n\n \ncd\r\ne"]).await, expected);
        assert_eq!(cut(&[b"a", b"b\n\n ", b"\nc", b"d\r\ne\n"]).await, expected);
        assert_eq!(cut(&[]).await, vec![]);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_costs_only_itself() {
        let long = vec![b'x'; COMMAND_BYTES_MAX / 2 + 1];
        let refused = vec![(1, Err("too-large")), (2, Ok("ok".to_owned()))];
        assert_eq!(cut(&[&long, &long, b"\nok"]).await, refused);
        assert_eq!(cut(&[&long, &long, &long, b"xx", b"\nok\n"]).await, refused);
        assert_eq!(cut(&[&[long.clone(), long.clone(), b"\nok".to_vec()].concat()]).await, refused);
        assert_eq!(cut(&[&long, &long]).await, vec![(1, Err("too-large"))]);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_does_not_end_in_a_command() {
        let pieces = [Ok(Bytes::from_static(b"ab\ncd")), Err(std::io::Error::other("gone"))];
        let lines = lines(Body::from_stream(stream::iter(pieces))).collect::<Vec<_>>().await;
        let codes: Vec<_> = lines.iter().map(|(n, line)| (*n, line.as_ref().map_err(Problem::code).is_ok())).collect();
        assert_eq!(codes, [(1, true), (2, false)]);
    }
}
