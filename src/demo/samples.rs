//! The component files that the demo loads: those of the project's `components` folder, carried in the program.

use std::io;
use std::path::Path;

const FILES: [(&str, &str); 4] = [
    ("orders-fanout.yaml", include_str!("../../components/orders-fanout.yaml")),
    ("orders-out.yaml", include_str!("../../components/orders-out.yaml")),
    ("orders-shared.yaml", include_str!("../../components/orders-shared.yaml")),
    ("orders-table.yaml", include_str!("../../components/orders-table.yaml")),
];

/// Writes the samples into a folder, so that the demo loads files as any user's daemon does.
///
/// # Errors
/// When the folder cannot be written.
pub(super) fn write_to(folder: &Path) -> io::Result<()> {
    FILES.iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text))
}
