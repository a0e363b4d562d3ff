//! What the programs that load a server print, read.

use super::measured::Sample;

/// The object of `piecemeal bench --json`, which may stand below lines for people.
pub(crate) fn piecemeal(said: &str) -> Result<Sample, String> {
    let line = said.lines().rev().find(|line| line.starts_with('{'));
    let object = line.and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let number = |key: &str| object.as_ref()?.get(key)?.as_f64();
    let sample = || {
        Some(Sample {
            figure: number("files_per_s")?,
            bytes: number("bytes")?,
            count: number("files")?,
            server_cpu_s: None,
            p50_us: number("p50_us"),
            p99_us: number("p99_us"),
            max_us: number("max_us"),
        })
    };
    sample().ok_or_else(|| "piecemeal bench printed no figures".to_owned())
}

/// The line of the script that `wrk` is given: requests, microseconds, errors, latencies.
pub(crate) fn wrk(said: &str, size: f64) -> Result<Sample, String> {
    let line = said.lines().find_map(|line| line.strip_prefix("versus "));
    let numbers = line.unwrap_or_default().split(' ').map(str::parse);
    let numbers: Result<Vec<f64>, _> = numbers.collect();
    let Ok([requests, us, errors, p50_us, p99_us, max_us]) =
        numbers.as_deref().map_err(|_| ()).and_then(|numbers| {
            let numbers: Result<[f64; 6], _> = numbers.try_into();
            numbers.map_err(|_| ())
        })
    else {
        return Err("wrk printed no figures".to_owned());
    };
    if errors > 0.0 {
        return Err(format!("wrk: {errors} of {requests} requests failed"));
    }
    Ok(Sample {
        figure: requests / us * 1e6,
        bytes: requests * size,
        count: requests,
        server_cpu_s: None,
        p50_us: Some(p50_us),
        p99_us: Some(p99_us),
        max_us: Some(max_us),
    })
}

/// The table of `redis-benchmark --csv`.
pub(crate) fn redis(said: &str) -> Result<Sample, String> {
    let fields = |prefix: &str| -> Vec<String> {
        let line = said.lines().find(|line| line.starts_with(prefix));
        let fields = line.unwrap_or_default().split(',');
        fields
            .map(|field| field.trim_matches('"').to_owned())
            .collect()
    };
    // Found by their titles, since versions differ in their columns.
    let (titles, values) = (fields("\"test\""), fields("\"PING"));
    let value = |title: &str| {
        let index = titles.iter().position(|it| it == title)?;
        values.get(index)?.parse::<f64>().ok()
    };
    let us = |title| value(title).map(|ms| ms * 1000.0);
    let figure = value("rps").ok_or("redis-benchmark printed no figures")?;
    Ok(Sample {
        figure,
        p50_us: us("p50_latency_ms"),
        p99_us: us("p99_latency_ms"),
        max_us: us("max_latency_ms"),
        ..Sample::default()
    })
}

/// The object of `iperf3 -J`.
pub(crate) fn iperf(said: &str) -> Result<Sample, String> {
    let object: Option<serde_json::Value> = serde_json::from_str(said).ok();
    let number = |key: &str| {
        let received = object.as_ref()?.get("end")?.get("sum_received")?;
        received.get(key)?.as_f64()
    };
    let (bits, bytes) = (number("bits_per_second"), number("bytes"));
    let (bits, bytes) = bits.zip(bytes).ok_or("iperf3 printed no figures")?;
    Ok(Sample {
        figure: bits / 8.0 / 1e9,
        bytes,
        count: 1.0,
        ..Sample::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_what_each_program_prints() {
        let said = "0 files\n{\"files_per_s\":12.5,\"bytes\":4096,\"files\":1,\"p99_us\":7.0}\n";
        let sample = piecemeal(said).expect("it is one of its objects");
        assert_eq!((sample.figure, sample.p99_us), (12.5, Some(7.0)));

        let said = "Running 1s test\n\nversus 2000 1000000 0 100.000000 200.000000 300.000000\n";
        let sample = wrk(said, 1024.0).expect("it is the script's line");
        assert_eq!((sample.figure, sample.bytes), (2000.0, 2_048_000.0));

        let said = "\"test\",\"rps\",\"avg_latency_ms\",\"p50_latency_ms\"\n\
                    \"PING_MBULK\",\"99601.59\",\"0.3\",\"0.25\"\n";
        let sample = redis(said).expect("it is its table");
        assert_eq!((sample.figure, sample.p50_us), (99601.59, Some(250.0)));

        let said = r#"{"end": {"sum_received": {"bytes": 1000, "bits_per_second": 8e9}}}"#;
        let sample = iperf(said).expect("it is its object");
        assert_eq!((sample.figure, sample.bytes), (1.0, 1000.0));
    }

    #[test]
    fn no_figures_are_an_error_and_so_are_failed_requests() {
        assert!(piecemeal("{}").is_err());
        assert!(wrk("versus 1 2 3", 1.0).is_err());
        assert!(wrk("versus 10 1000000 3 1 1 1", 1.0).is_err());
        assert!(redis("\"test\",\"rps\"\n").is_err());
        assert!(iperf(r#"{"error": "unable to connect"}"#).is_err());
    }
}
