//! Functions and sums of fixed order, written once for all paths.

use crate::simd::{LANES, Lanes};

/// The whole vectors of a slice whose length is a multiple of sixteen.
#[inline(always)]
pub(crate) fn vectors(values: &[f32]) -> &[[f32; LANES]] {
    values.as_chunks().0
}

/// As [`vectors`].
#[inline(always)]
pub(crate) fn vectors_mut(values: &mut [f32]) -> &mut [[f32; LANES]] {
    values.as_chunks_mut().0
}

/// The sum of sixteen lanes: lane `i` with `i + 8`, then `i + 4`, then `i + 2`, then `i + 1`.
#[inline(always)]
pub(crate) fn sum<L: Lanes>(lanes: L) -> f32 {
    let mut part = [0.0; LANES];
    lanes.store(&mut part);
    let mut distance = LANES / 2;
    while distance > 0 {
        for lane in 0..distance {
            part[lane] += part[lane + distance];
        }
        distance /= 2;
    }
    part[0]
}

/// The largest lane.
#[inline(always)]
pub(crate) fn largest<L: Lanes>(lanes: L) -> f32 {
    let mut part = [0.0; LANES];
    lanes.store(&mut part);
    let mut largest = part[0];
    for value in part {
        largest = if value > largest { value } else { largest };
    }
    largest
}

/// The sum of products: sixteen chains by index modulo sixteen, then [`sum`].
#[inline(always)]
pub(crate) fn dot<L: Lanes>(a: &[f32], b: &[f32]) -> f32 {
    let mut chains = L::splat(0.0);
    for (a, b) in vectors(a).iter().zip(vectors(b)) {
        chains = L::load(a).fma(L::load(b), chains);
    }
    sum(chains)
}

/// Polynomial by Horner's rule, highest coefficient first.
#[inline(always)]
fn polynomial<L: Lanes, const N: usize>(x: L, coefficients: [f32; N]) -> L {
    let mut value = L::splat(coefficients[0]);
    for coefficient in &coefficients[1..] {
        value = value.fma(x, L::splat(*coefficient));
    }
    value
}

/// e to the power of `x`, within 2 units in the last place for −87 ≤ x ≤ 88, to which `x` is cut (Cephes, `expf.c`). Never a NaN.
#[inline(always)]
pub(crate) fn exp<L: Lanes>(x: L) -> L {
    let x = x.max(L::splat(-87.0)).min(L::splat(88.0));
    let n = x.mul(L::splat(std::f32::consts::LOG2_E)).round();
    // ln 2 in two parts, of which the first has few bits.
    let r = n.fma(L::splat(-0.693_359_4), x);
    let r = n.fma(L::splat(2.121_944_4e-4), r);
    let p = polynomial(
        r,
        [
            1.987_569_1e-4,
            1.398_2e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            1.666_666_5e-1,
            5e-1,
        ],
    );
    let y = p.fma(r.mul(r), r).add(L::splat(1.0));
    y.mul(n.power_of_two())
}

/// x · σ(x).
#[inline(always)]
pub(crate) fn silu<L: Lanes>(x: L) -> L {
    let one = L::splat(1.0);
    x.div(one.add(exp(L::splat(0.0).sub(x))))
}

/// The error function: an odd rational function on −4 ≤ x ≤ 4, to which `x` is cut (Eigen, `erf`).
#[inline(always)]
pub(crate) fn erf<L: Lanes>(x: L) -> L {
    let x = x.max(L::splat(-4.0)).min(L::splat(4.0));
    let square = x.mul(x);
    let above = polynomial(
        square,
        [
            -2.726_142_4e-10,
            2.770_681_4e-8,
            -2.101_024e-6,
            -5.692_506_4e-5,
            -7.349_906_3e-4,
            -2.954_6e-3,
            -1.609_603_3e-2,
        ],
    );
    let below = polynomial(
        square,
        [
            -1.456_607_2e-5,
            -2.133_740_5e-4,
            -1.682_827e-3,
            -7.373_329e-3,
            -1.426_473_9e-2,
        ],
    );
    x.mul(above).div(below)
}

/// x · Φ(x), the exact form with [`erf`].
#[inline(always)]
pub(crate) fn gelu<L: Lanes>(x: L) -> L {
    let phi = erf(x.mul(L::splat(std::f32::consts::FRAC_1_SQRT_2)));
    x.mul(L::splat(0.5)).mul(phi.add(L::splat(1.0)))
}

/// The natural logarithm of a normal positive number, within 2 units in the last place (Cephes, `logf.c`). Plain operations alone.
pub(crate) fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 23) as i32 - 126) as f32;
    // From a half to one.
    let mut fraction = f32::from_bits((bits & 0x007f_ffff) | 0x3f00_0000);
    if fraction < std::f32::consts::FRAC_1_SQRT_2 {
        exponent -= 1.0;
        fraction += fraction;
    }
    let y = fraction - 1.0;
    let square = y * y;
    let mut p = 7.037_683_6e-2;
    for coefficient in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        p = p * y + coefficient;
    }
    let small = p * y * square - 2.121_944_4e-4 * exponent - 0.5 * square;
    (y + small) + 0.693_359_4 * exponent
}

/// `out = x / sqrt(mean(x²) + epsilon) · weight`.
#[inline(always)]
pub(crate) fn rms_norm<L: Lanes>(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let mean = dot::<L>(x, x) / x.len() as f32;
    let scale = L::splat(1.0 / (mean + epsilon).sqrt());
    for ((x, weight), out) in vectors(x).iter().zip(vectors(weight)).zip(vectors_mut(out)) {
        L::load(x).mul(scale).mul(L::load(weight)).store(out);
    }
}

/// `x = (x − mean) / sqrt(variance + epsilon) · weight + bias`.
#[inline(always)]
pub(crate) fn layer_norm<L: Lanes>(x: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let count = x.len() as f32;
    let mut chains = L::splat(0.0);
    for x in vectors(x) {
        chains = chains.add(L::load(x));
    }
    let mean = L::splat(sum(chains) / count);
    for x in vectors_mut(x) {
        L::load(x).sub(mean).store(x);
    }
    let scale = L::splat(1.0 / (dot::<L>(x, x) / count + epsilon).sqrt());
    for ((x, weight), bias) in vectors_mut(x)
        .iter_mut()
        .zip(vectors(weight))
        .zip(vectors(bias))
    {
        let scaled = L::load(x).mul(scale);
        scaled.fma(L::load(weight), L::load(bias)).store(x);
    }
}

/// `x = x + y`.
#[inline(always)]
pub(crate) fn add<L: Lanes>(x: &mut [f32], y: &[f32]) {
    for (x, y) in vectors_mut(x).iter_mut().zip(vectors(y)) {
        L::load(x).add(L::load(y)).store(x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{path::Path, simd::Isa, simd::Job};

    #[derive(Clone, Copy)]
    enum Function {
        Exp,
        Erf,
        Silu,
        Gelu,
    }

    struct All<'a>(Function, &'a [f32]);

    impl Job for All<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<L: Lanes>(self) -> Vec<f32> {
            let mut out = self.1.to_vec();
            for x in vectors_mut(&mut out) {
                let lanes = L::load(x);
                let value = match self.0 {
                    Function::Exp => exp(lanes),
                    Function::Erf => erf(lanes),
                    Function::Silu => silu(lanes),
                    Function::Gelu => gelu(lanes),
                };
                value.store(x);
            }
            out
        }
    }

    fn points(from: f32, to: f32) -> Vec<f32> {
        let count = 160_000;
        let step = (to - from) / count as f32;
        (0..count).map(|i| from + step * i as f32).collect()
    }

    /// Bits on every path, and the largest error against a double, relative to `size`.
    fn error(
        function: Function,
        x: &[f32],
        f: impl Fn(f64) -> f64,
        size: impl Fn(f64) -> f64,
    ) -> f64 {
        let reference = Isa::new(Path::Portable)
            .expect("everywhere")
            .run(All(function, x));
        for path in Path::available() {
            let found = Isa::new(path).expect("available").run(All(function, x));
            assert!(
                found
                    .iter()
                    .zip(&reference)
                    .all(|(a, b)| a.to_bits() == b.to_bits()),
                "{path} differs"
            );
        }
        x.iter().zip(&reference).fold(0.0, |most, (x, y)| {
            let exact = f(f64::from(*x));
            most.max((f64::from(*y) - exact).abs() / size(exact))
        })
    }

    #[test]
    fn exp_is_accurate() {
        let most = error(Function::Exp, &points(-87.0, 88.0), libm::exp, |exact| {
            exact
        });
        assert!(most < 2.0 * f64::from(f32::EPSILON), "{most:e}");
    }

    #[test]
    fn erf_and_its_friends_are_accurate() {
        let most = error(Function::Erf, &points(-6.0, 6.0), libm::erf, |_| 1.0);
        assert!(most < 4e-7, "{most:e}");
        let gelu = |x: f64| 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt()));
        let most = error(Function::Gelu, &points(-9.0, 9.0), gelu, |exact| {
            exact.abs().max(1.0)
        });
        assert!(most < 2e-6, "{most:e}");
        let silu = |x: f64| x / (1.0 + libm::exp(-x));
        let most = error(Function::Silu, &points(-30.0, 30.0), silu, |exact| {
            exact.abs().max(1.0)
        });
        assert!(most < 5e-7, "{most:e}");
    }

    #[test]
    fn ln_is_accurate() {
        let mut most = 0f64;
        for x in points(0.01, 4.0).into_iter().chain(points(1.0, 200_000.0)) {
            let exact = libm::log(f64::from(x));
            most = most.max((f64::from(ln(x)) - exact).abs() / exact.abs().max(0.25));
        }
        assert!(most < 3.0 * f64::from(f32::EPSILON), "{most:e}");
    }

    #[test]
    fn special_values_are_the_same_on_every_path() {
        let x = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            0.0,
            -0.0,
            f32::MAX,
            f32::MIN,
            f32::MIN_POSITIVE,
            f32::from_bits(1),
            -1e-40,
            0.5,
            1.5,
            2.5,
            -0.5,
            88.1,
            -87.1,
        ];
        let reference = Isa::new(Path::Portable)
            .expect("everywhere")
            .run(All(Function::Exp, &x));
        for path in Path::available() {
            let found = Isa::new(path)
                .expect("available")
                .run(All(Function::Exp, &x));
            for (a, b) in found.iter().zip(&reference) {
                assert_eq!(a.to_bits(), b.to_bits(), "{path}");
            }
        }
    }
}
