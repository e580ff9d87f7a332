#[test]
fn golden() {
    std::fs::write("/tmp/contract-scratch/openapi.json", serde_json::to_string_pretty(&lethe::platform::openapi()).unwrap()).unwrap();
}
