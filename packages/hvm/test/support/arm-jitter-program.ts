/**
 * What the vCPUs of an Arm domain do while it is saved: X20 is the number of the vCPU, X26 how many rounds are left, X27 a
 * device, X28 what is shared. They compute, ask the device in each of its ways, use exclusives of RAM and of the device,
 * wait for events, interrupt each other, and run A32 and Thumb code at EL0; all but the first lose their power now and then.
 */

/** Rounds of a vCPU. */
export const ROUNDS = 12
/** Offsets from where it lies: A32 code, vectors, what is shared, stacks. */
export const A32 = 0x240
export const VECTORS = 0x800
export const SHARED = 0x1000
/** Of what is shared: vCPUs that are at work, 64 bits; vCPUs; whether the interrupt controller is a GICv3; the device's DMA. */
export const AT_WORK: number = SHARED + 48
export const VCPUS: number = SHARED + 56
export const IS_V3: number = SHARED + 60
export const JITTER_RAM: number = SHARED + 0x100
/** In {@link PROGRAM}. */
const BACK = 0x14c
const INTERRUPT = 0x1b8

/** MOV R1, #3; BLX to Thumb; QADD R2, R1, R0; MCR of TPIDRURW; SVC. In Thumb: SUBS, ITE, ADDEQ, ADDNE, CMP, BNE, MOV, BX. */
export const A32_PROGRAM: readonly number[] = [
  0xe3a0_1003, 0xfa00_0002, 0xe100_2051, 0xee0d_2f50, 0xef00_0000, 0xbf0c_1e40, 0x1809_1d49, 0xd1f9_2800, 0x4770_4608,
]

/** An unconditional branch. */
const b = (from: number, to: number): number => (0x1400_0000 | (((to - from) >> 2) & 0x3ff_ffff)) >>> 0

/** Vectors: an interrupt at EL1, what A32 code raises, and an interrupt of it. */
export const VECTOR_WORDS: readonly (readonly [offset: number, word: number])[] = [
  [VECTORS + 0x280, b(VECTORS + 0x280, INTERRUPT)],
  [VECTORS + 0x600, b(VECTORS + 0x600, BACK)],
  [VECTORS + 0x680, b(VECTORS + 0x680, INTERRUPT)],
]

/** A64 code. */
export const PROGRAM: readonly number[] = [
  // start:
  0xd538_00b4, // mrs x20, mpidr_el1
  0x9240_1e94, // and x20, x20, #0xff
  0xaa00_03fa, // mov x26, x0
  0xd2a1_201b, // mov x27, #0x09000000
  0x1000_7f9c, // adr x28, shared
  0x9100_2399, // add x25, x28, #8
  0x9100_4398, // add x24, x28, #16
  0x9100_1377, // add x23, x27, #4
  0xd2a0_0601, // mov x1, #(3 << 20)
  0xd518_1041, // msr cpacr_el1, x1
  0x1000_3ec1, // adr x1, vectors
  0xd518_c001, // msr vbar_el1, x1
  0x1000_be81, // adr x1, stacks
  0x8b14_2821, // add x1, x1, x20, lsl #10
  0x9100_003f, // mov sp, x1
  0xb940_3f81, // ldr w1, [x28, #60]
  0x3400_00c1, // cbz w1, gicv2
  0xd280_1fe1, // mov x1, #0xff
  0xd518_4601, // msr icc_pmr_el1, x1
  0xd280_0021, // mov x1, #1
  0xd518_cce1, // msr icc_igrpen1_el1, x1
  0x1400_0006, // b ready
  // gicv2:
  0xd2a1_0021, // mov x1, #0x08010000
  0x5280_1fe2, // mov w2, #0xff
  0xb900_0422, // str w2, [x1, #4]
  0x5280_0022, // mov w2, #1
  0xb900_0022, // str w2, [x1]
  // ready:
  0xd280_1081, // mov x1, #0x84
  0xd518_e101, // msr cntkctl_el1, x1
  0xd280_5781, // mov x1, #700
  0x8b14_1421, // add x1, x1, x20, lsl #5
  0xd51b_e301, // msr cntv_tval_el0, x1
  0xd280_0021, // mov x1, #1
  0xd51b_e321, // msr cntv_ctl_el0, x1
  0x7100_335f, // cmp w26, #12
  0x5400_0181, // b.ne go
  0xb500_0174, // cbnz x20, go
  0xb940_3b95, // ldr w21, [x28, #56]
  // others:
  0x7100_06b5, // subs w21, w21, #1
  0x5400_0100, // b.eq go
  0xd280_0060, // mov x0, #3
  0xf2b8_8000, // movk x0, #0xc400, lsl #16
  0xaa15_03e1, // mov x1, x21
  0x10ff_faa2, // adr x2, start
  0xd280_0183, // mov x3, #12
  0xd400_0002, // hvc #0
  0x17ff_fff8, // b others
  // go:
  0xd503_43ff, // msr daifclr, #3
  // round:
  0xb940_0361, // ldr w1, [x27]
  0xb821_0382, // ldadd w1, w2, [x28]
  0xd53b_e043, // mrs x3, cntvct_el0
  0xf823_0324, // ldadd x3, x4, [x25]
  0xb900_0361, // str w1, [x27]
  0xb900_0b7a, // str w26, [x27, #8]
  0x885f_7ee4, // ldxr w4, [x23]
  0x0b14_0084, // add w4, w4, w20
  0x8805_7ee4, // stxr w5, w4, [x23]
  0xb825_0386, // ldadd w5, w6, [x28]
  // exclusive:
  0xc85f_7f06, // ldxr x6, [x24]
  0x8b03_00c6, // add x6, x6, x3
  0xc807_7f06, // stxr w7, x6, [x24]
  0x35ff_ffa7, // cbnz w7, exclusive
  0x5280_12c8, // mov w8, #150
  0x9e62_0061, // scvtf d1, x3
  // compute:
  0x1e61_2800, // fadd d0, d0, d1
  0x9e66_0009, // fmov x9, d0
  0xf829_032a, // ldadd x9, x10, [x25]
  0x6e20_1c42, // eor v2.16b, v2.16b, v0.16b
  0x7100_0508, // subs w8, w8, #1
  0x54ff_ff61, // b.ne compute
  0xd503_205f, // wfe
  0xb940_3f81, // ldr w1, [x28, #60]
  0x3400_0081, // cbz w1, noSgi
  0xd2c0_2001, // mov x1, #(1 << 40)
  0xf2a0_2001, // movk x1, #0x100, lsl #16
  0xd518_cba1, // msr icc_sgi1r_el1, x1
  // noSgi:
  0xd503_43df, // msr daifset, #3
  0x1000_0861, // adr x1, arm32
  0xd518_4021, // msr elr_el1, x1
  0xd280_0201, // mov x1, #0x10
  0xd518_4001, // msr spsr_el1, x1
  0xd280_0500, // mov x0, #40
  0xd69f_03e0, // eret
  // back:
  0xd503_43ff, // msr daifclr, #3
  0xf820_0381, // ldadd x0, x1, [x28]
  0xb400_0154, // cbz x20, stay
  0x7200_075f, // tst w26, #3
  0x5400_0101, // b.ne stay
  0x7100_0743, // subs w3, w26, #1
  0x5400_00c0, // b.eq stay
  0xd280_0020, // mov x0, #1
  0xf2b8_8000, // movk x0, #0xc400, lsl #16
  0xd2a0_0021, // mov x1, #0x10000
  0x10ff_f462, // adr x2, start
  0xd400_0002, // hvc #0
  // stay:
  0x7100_075a, // subs w26, w26, #1
  0x54ff_fa01, // b.ne round
  0x9280_0001, // mov x1, #-1
  0x9100_c382, // add x2, x28, #48
  0xf821_0043, // ldadd x1, x3, [x2]
  0xb500_0114, // cbnz x20, sleep
  // wait:
  0xd503_205f, // wfe
  0xf940_0041, // ldr x1, [x2]
  0xb5ff_ffc1, // cbnz x1, wait
  0xd503_43df, // msr daifset, #3
  0xd280_0100, // mov x0, #8
  0xf2b0_8000, // movk x0, #0x8400, lsl #16
  0xd400_0002, // hvc #0
  // sleep:
  0xd503_207f, // wfi
  0x17ff_ffff, // b sleep
  // interrupt:
  0xa9be_07e0, // stp x0, x1, [sp, #-32]!
  0xa901_0fe2, // stp x2, x3, [sp, #16]
  0xb940_3f81, // ldr w1, [x28, #60]
  0x3400_0081, // cbz w1, ackv2
  0xd538_cc00, // mrs x0, icc_iar1_el1
  0xd518_cc20, // msr icc_eoir1_el1, x0
  0x1400_0004, // b counted
  // ackv2:
  0xd2a1_0021, // mov x1, #0x08010000
  0xb940_0c20, // ldr w0, [x1, #12]
  0xb900_1020, // str w0, [x1, #16]
  // counted:
  0x1200_2401, // and w1, w0, #0x3ff
  0x7100_6c3f, // cmp w1, #27
  0x5400_0061, // b.ne other
  0xd280_8981, // mov x1, #1100
  0xd51b_e301, // msr cntv_tval_el0, x1
  // other:
  0x9100_6382, // add x2, x28, #24
  0xf820_0041, // ldadd x0, x1, [x2]
  0xd53b_e020, // mrs x0, cntpct_el0
  0x9100_8382, // add x2, x28, #32
  0xf820_0041, // ldadd x0, x1, [x2]
  0xf940_8380, // ldr x0, [x28, #0x100]
  0x9100_a382, // add x2, x28, #40
  0xf820_0041, // ldadd x0, x1, [x2]
  0xa941_0fe2, // ldp x2, x3, [sp, #16]
  0xa8c2_07e0, // ldp x0, x1, [sp], #32
  0xd69f_03e0, // eret
]
