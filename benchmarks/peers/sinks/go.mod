module herald/benchmarks/sinks

go 1.21
