//! The program: everything is in the library.

/// Gives back what is freed, where the C library's keeps it in one arena for each thread.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    bellwether::cli::main()
}
