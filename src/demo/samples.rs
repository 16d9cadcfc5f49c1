//! The component files of the demo: those of the project's `components` folder, embedded in the program.

use std::io;
use std::path::Path;

const FILES: [(&str, &str); 4] = [
    ("orders-fanout.yaml", include_str!("../../components/orders-fanout.yaml")),
    ("orders-out.yaml", include_str!("../../components/orders-out.yaml")),
    ("orders-shared.yaml", include_str!("../../components/orders-shared.yaml")),
    ("orders-table.yaml", include_str!("../../components/orders-table.yaml")),
];

/// Writes the files into a folder, so that the demo loads files like any daemon.
pub(super) fn write_to(folder: &Path) -> io::Result<()> {
    FILES.iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text))
}
