/**
 * A64: Advanced SIMD instructions that each precision, or each size of an element, has in the same way. A line stands for
 * several rows: see `vector-sizes.ts`.
 *
 * Source: Arm ARM (DDI 0487), "Data Processing -- Scalar Floating-Point and Advanced SIMD".
 */

/**
 * Precisions of vectors and scalars: shape (`v` vectors, `s` scalars), bits before U, bits after it, what follows `a` with
 * three registers and with two (`*` is the opcode), operands (`*` is a register's field), attributes.
 */
export const a64FloatPrecisions: string = `
v 0Q 01110 x1mmmmm11*1  x10000*10  <V*.F>      vector xQ!=2
v 0Q 01110 10mmmmm00*1  111100*10  <V*.4h/8h>  vector FP16
s 01 11110 01mmmmm11*1  010000*10  <S*>        scalar
s 01 11110 11mmmmm11*1  110000*10  <D*>        scalar
s 01 11110 10mmmmm00*1  111100*10  <H*>        scalar FP16
`

/** Floating point, three registers: U, a, opcode, allowed shapes, mnemonic. */
export const a64FloatThree: string = `
0 0 000 v FMAXNM
0 0 001 v FMLA
0 0 010 v FADD
0 0 011 vs FMULX
0 0 100 vs FCMEQ
0 0 110 v FMAX
0 0 111 vs FRECPS
0 1 000 v FMINNM
0 1 001 v FMLS
0 1 010 v FSUB
0 1 011 v FAMAX
0 1 110 v FMIN
0 1 111 vs FRSQRTS
1 0 000 v FMAXNMP
1 0 010 v FADDP
1 0 011 v FMUL
1 0 100 vs FCMGE
1 0 101 vs FACGE
1 0 110 v FMAXP
1 0 111 v FDIV
1 1 000 v FMINNMP
1 1 010 vs FABD
1 1 100 vs FCMGT
1 1 011 v FAMIN
1 1 101 vs FACGT
1 1 110 v FMINP
1 1 111 v FSCALE
`

/** Floating point, two registers. `0` after the mnemonic: compared with zero. */
export const a64FloatTwo: string = `
0 0 11000 v FRINTN
0 0 11001 v FRINTM
0 0 11010 vs FCVTNS
0 0 11011 vs FCVTMS
0 0 11100 vs FCVTAS
0 0 11101 vs SCVTF
0 1 01100 vs FCMGT 0
0 1 01101 vs FCMEQ 0
0 1 01110 vs FCMLT 0
0 1 01111 v FABS
0 1 11000 v FRINTP
0 1 11001 v FRINTZ
0 1 11010 vs FCVTPS
0 1 11011 vs FCVTZS
0 1 11101 vs FRECPE
0 1 11111 s FRECPX
1 0 11000 v FRINTA
1 0 11001 v FRINTX
1 0 11010 vs FCVTNU
1 0 11011 vs FCVTMU
1 0 11100 vs FCVTAU
1 0 11101 vs UCVTF
1 1 01100 vs FCMGE 0
1 1 01101 vs FCMLE 0
1 1 01111 v FNEG
1 1 11001 v FRINTI
1 1 11010 vs FCVTPU
1 1 11011 vs FCVTZU
1 1 11101 vs FRSQRTE
1 1 11111 v FSQRT
`

/**
 * Shifts by an immediate: U, opcode, shapes (`v` vectors, `s` scalars, `d` scalars of doublewords alone), kind, mnemonic.
 * Kinds: `right` and `left` keep the size, `narrow` and `long` change it, `fixed` are fixed-point numbers.
 */
export const a64Shifts: string = `
0 00000 vd right SSHR
0 00010 vd right SSRA
0 00100 vd right SRSHR
0 00110 vd right SRSRA
0 01010 vd left SHL
0 01110 vs left SQSHL
0 10000 v narrow SHRN
0 10001 v narrow RSHRN
0 10010 vs narrow SQSHRN
0 10011 vs narrow SQRSHRN
0 10100 v long SSHLL
0 11100 vs fixed SCVTF
0 11111 vs fixed FCVTZS
1 00000 vd right USHR
1 00010 vd right USRA
1 00100 vd right URSHR
1 00110 vd right URSRA
1 01000 vd right SRI
1 01010 vd left SLI
1 01100 vs left SQSHLU
1 01110 vs left UQSHL
1 10000 vs narrow SQSHRUN
1 10001 vs narrow SQRSHRUN
1 10010 vs narrow UQSHRN
1 10011 vs narrow UQRSHRN
1 10100 v long USHLL
1 11100 vs fixed UCVTF
1 11111 vs fixed FCVTZU
`
