//! The words of jobs as a file that `job.sh` reads.

use crate::bytestring::ByteString;
use crate::ids::JobIndex;

/// The words of some jobs, as `jobs/B/cmd/<shard>.sh` holds them: a `case` of single-quoted lists.
pub fn words_file<'a, W>(jobs: impl IntoIterator<Item = (JobIndex, W)>) -> Vec<u8>
where
    W: IntoIterator<Item = &'a ByteString>,
{
    let mut text = b"case $_cluster_index in\n".to_vec();
    for (index, words) in jobs {
        text.extend_from_slice(format!("{index}) set --").as_bytes());
        for word in words {
            text.push(b' ');
            // Always quoted: this is for the shell, not for the eye.
            text.push(b'\'');
            for &byte in &word.0 {
                if byte == b'\'' {
                    text.extend_from_slice(br"'\''");
                } else {
                    text.push(byte);
                }
            }
            text.push(b'\'');
        }
        text.extend_from_slice(b" ;;\n");
    }
    text.extend_from_slice(b"esac\n");
    text
}
