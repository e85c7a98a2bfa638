// clones.h - CLONES before a function makes copies of it for newer x86 processors, chosen when the program starts: fma and the rounding
// modes are single instructions there, and vectors are wider. No result changes. Not under AddressSanitizer, which does not run that early.
#pragma once
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CLONES
#endif
#endif
#if !defined(CLONES) && defined(__SANITIZE_ADDRESS__)
#define CLONES
#endif
#if !defined(CLONES) && defined(__x86_64__) && defined(__linux__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif !defined(CLONES)
#define CLONES
#endif
