// math_fit.h - minimax polynomials of math.c, lowest power first; written by tests/tools/math_fit.py. The number is the largest
// error of the fit, relative to the function that it serves.
#pragma once
// exp(r) = 1 + r + r^2 q(r), |r| <= ln(2)/2: 3.08e-9
static const double exp_f[] = {0x1.fffffc0000000p-2, 0x1.5554900000000p-3, 0x1.5558f40000000p-5, 0x1.123a6c0000000p-7,
                               0x1.6a23520000000p-10};
// expm1(r) = r + r^2 q(r): 1.32e-8
static const double expm1_f[] = {0x1.fffffe0000000p-2, 0x1.5554b00000000p-3, 0x1.5556740000000p-5, 0x1.1227f60000000p-7,
                                 0x1.6bebf80000000p-10};
// 2^r = 1 + r q(r), |r| <= 1/2: 1.99e-9
static const double exp2_f[] = {0x1.62e4300000000p-1, 0x1.ebfbdc0000000p-3,  0x1.c6aee60000000p-5,
                                0x1.3b2d500000000p-7, 0x1.5f3f300000000p-10, 0x1.41fb100000000p-13};
// R(z)/z of log: 8.11e-10
static const double log_f[] = {0x1.55557a0000000p-1, 0x1.995e9c0000000p-2, 0x1.31e6740000000p-2};
// sin(r) = r + r z q(z), z = r^2: 3.82e-9
static const double sin_f[] = {-0x1.5555460000000p-3, 0x1.1107300000000p-7, -0x1.9940620000000p-13};
// cos(r) = 1 - z/2 + z^2 q(z): 1.17e-10
static const double cos_f[] = {0x1.55554a0000000p-5, -0x1.6c0c280000000p-10, 0x1.99e86a0000000p-16};
// atan(y) = y + y z q(z), y in 0..1: 1.67e-8
static const double atan_f[] = {-0x1.5554dc0000000p-2, 0x1.9978f40000000p-3, -0x1.230ad80000000p-3, 0x1.b4e1120000000p-4,
                                -0x1.3556820000000p-4, 0x1.61fd600000000p-5, -0x1.0c2b800000000p-6, 0x1.7ed10e0000000p-9};
// asin(y) = y + y z q(z), y in 0..1/2: 4.86e-9
static const double asin_f[] = {0x1.5555c80000000p-3, 0x1.3301cc0000000p-4, 0x1.7480e00000000p-5, 0x1.8c0ca00000000p-6,
                                0x1.5986440000000p-5};
// sinh(y) = y + y z q(z), y in 0..1: 5.22e-11
static const double sinh_f[] = {0x1.5555560000000p-3, 0x1.1111360000000p-7, 0x1.9ffe840000000p-13, 0x1.7a17d20000000p-19};
// exp(r) = 1 + r + r^2 q(r), |r| <= ln(2)/2: 3.66e-18
static const double exp_d[] = {0x1.000000000000ap-1,  0x1.55555555554f9p-3,  0x1.55555555507f1p-5,  0x1.1111111127e85p-7,
                               0x1.6c16c1844adf2p-10, 0x1.a01a0129b3242p-13, 0x1.a01999ae210aep-16, 0x1.71df262fbb004p-19,
                               0x1.28adce2bb3e4ap-22, 0x1.ad7efcdea06afp-26};
// expm1(r) = r + r^2 q(r): 2.63e-19
static const double expm1_d[] = {0x1.0000000000000p-1,  0x1.5555555555559p-3,  0x1.555555555553ep-5,  0x1.111111110f6a9p-7,
                                 0x1.6c16c16c1f159p-10, 0x1.a01a01afe9e99p-13, 0x1.a01a017b9853ap-16, 0x1.71ddf84165f1cp-19,
                                 0x1.27e5365b7cd1fp-22, 0x1.af5ee94cd427bp-26, 0x1.1ee88e6f8de3fp-29};
// 2^r = 1 + r q(r), |r| <= 1/2: 3.41e-18
static const double exp2_d[] = {0x1.62e42fefa39efp-1,  0x1.ebfbdff82c5a5p-3,  0x1.c6b08d7049fe6p-5,  0x1.3b2ab6fba007ap-7,
                                0x1.5d87fe78cdb96p-10, 0x1.4309130efb771p-13, 0x1.ffcbfba87f74fp-17, 0x1.62bfc74007fedp-20,
                                0x1.b5267e1552cdfp-24, 0x1.e61bfa4d013f2p-28, 0x1.e79b3149e792bp-32};
// R(z)/z of log: 1.24e-18
static const double log_d[] = {0x1.5555555555593p-1, 0x1.999999997fb32p-2, 0x1.2492494217af4p-2, 0x1.c71c51e7e1c4fp-3,
                               0x1.746646322417ap-3, 0x1.39a0f460b05b7p-3, 0x1.2f0d95612eff8p-3};
// sin(r) = r + r z q(z), z = r^2: 3.67e-18
static const double sin_d[] = {-0x1.5555555555548p-3, 0x1.111111110f78fp-7,   -0x1.a01a019bf580cp-13,
                               0x1.71de35604137cp-19, -0x1.ae5e54738af24p-26, 0x1.5d8dfe7473657p-33};
// cos(r) = 1 - z/2 + z^2 q(z): 5.65e-20
static const double cos_d[] = {0x1.555555555554bp-5,   -0x1.6c16c16c14f47p-10, 0x1.a01a019c7cda2p-16,
                               -0x1.27e4f7e53e9c8p-22, 0x1.1ee9d3dccfcc7p-29,  -0x1.8fa291119bbd3p-37};
// atan(y) = y + y z q(z), y in 0..1: 4.61e-18
static const double atan_d[] = {-0x1.5555555555526p-2, 0x1.9999999995546p-3,  -0x1.249249237e1e2p-3,  0x1.c71c717f93775p-4,
                                -0x1.745d11aae1f99p-4, 0x1.3b1366754dd12p-4,  -0x1.110e5017d6a36p-4,  0x1.e1bb9ae82a08ap-5,
                                -0x1.ae5e435949c70p-5, 0x1.82da41591eaa8p-5,  -0x1.59a28c824a471p-5,  0x1.2c2b918666672p-5,
                                -0x1.e9f19d18ada79p-6, 0x1.6832dc7cbb9b8p-6,  -0x1.c77dd3a221f8bp-7,  0x1.d7a098412a56fp-8,
                                -0x1.7a212130d73afp-9, 0x1.b3d93d1a5b292p-11, -0x1.3f1a03e2e7f0dp-13, 0x1.bbc16f197605cp-17};
// asin(y) = y + y z q(z), y in 0..1/2: 1.5e-17
static const double asin_d[] = {0x1.555555555538ep-3, 0x1.333333336ec85p-4, 0x1.6db6db4249782p-5,  0x1.f1c72c497809ep-6,
                                0x1.6e89f2a54ee5ap-6, 0x1.1c6bfaa6dd655p-6, 0x1.c6fbc574714e8p-7,  0x1.8ed05bef5eaaep-7,
                                0x1.ab58f74f3aa64p-8, 0x1.40476debcc6dap-6, -0x1.0a57ac72e2e63p-6, 0x1.059bb51af62cdp-5};
// sinh(y) = y + y z q(z), y in 0..1: 9.6e-17
static const double sinh_d[] = {0x1.555555555547ap-3,  0x1.1111111121fb0p-7,  0x1.a01a01846e52dp-13,
                                0x1.71de4f168cf77p-19, 0x1.ae54a268a9398p-26, 0x1.66f8ac5285566p-33};
// erf(x) = x q(u), u = x^2 (2/3.92^2) - 1, |x| <= 3.92: 2.52e-8
static const double erf_f[] = {0x1.7164fe0000000p-2,  -0x1.70dcca0000000p-3,  0x1.129aec0000000p-3, -0x1.bf32b80000000p-4,
                               0x1.7315ce0000000p-4,  -0x1.2f2f660000000p-4,  0x1.de61580000000p-5, -0x1.63d5ca0000000p-5,
                               0x1.e690460000000p-6,  -0x1.4798ce0000000p-6,  0x1.d1a2ac0000000p-7, -0x1.f60c7e0000000p-8,
                               0x1.f749d20000000p-10, -0x1.6d8c3c0000000p-10, 0x1.1317600000000p-9, -0x1.ba79100000000p-11};
// erf(x) = x + x q(x^2), |x| <= 1: 7.39e-18
static const double erf_d[] = {0x1.06eba8214db68p-3,  -0x1.812746b0379bcp-2,  0x1.ce2f21a040ccap-4,  -0x1.b82ce311f9585p-6,
                               0x1.565bccf9017c0p-8,  -0x1.c02db0376e373p-11, 0x1.f9a2ba0c30414p-14, -0x1.f4ca43d5a5144p-17,
                               0x1.b97f7368bbdf6p-20, -0x1.5c04ce8c31f3cp-23, 0x1.d70a9654ab334p-27, -0x1.ab7c6996140a5p-31};
// erf(x) = 1 - exp(-x^2) q(1/(1 + x)), x in 1..6: 7.04e-20
static const double erfc_d[] = {-0x1.03954b8b48eddp-21, 0x1.20df87610d4f9p-1,  0x1.20c52f2cd26c6p-1, 0x1.210b34a3b1d0ap-2,
                                -0x1.0a7c8973c3a60p-2,  -0x1.073659e774cbbp+0, 0x1.3e7e39cc9d8bbp+1, -0x1.99afd0435cd94p+3,
                                0x1.d29ee9724a7b9p+5,   -0x1.40e74c2f71b09p+7, 0x1.2169a9bb37c0fp+8, -0x1.68609ec0bd9d3p+8,
                                0x1.37bbe4b8f877ap+8,   -0x1.697e7110cbbb6p+7, 0x1.fcea5afa05c7fp+5, -0x1.4a5857c5dfbabp+3};
