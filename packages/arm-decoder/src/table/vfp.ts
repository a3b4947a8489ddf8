/**
 * VFP: floating-point instructions of A32 and T32 that access no memory. See `row.ts` for the language.
 *
 * Fields: `d` `n` `m` SIMD&FP registers, `t` `u` general-purpose registers, `i` immediate, `l` lane, `c` condition.
 *
 * Source: Arm ARM (DDI 0487), part F, "Advanced SIMD and floating-point instructions".
 */

/**
 * Of three precisions. Columns: bits from 23 on, bits 7 to 4, mnemonic and operands; each line stands for one row with half
 * precision (bits 11 to 8 are 1001), one with single (1010) and one with double (1011). In operands `*` is the letter of
 * registers of that precision, in mnemonics that of the data type.
 */
export const vfpPrecisionRows: string = `
0d00 nnnn dddd  n 0 m 0 mmmm   VMLA<c>.*     <*d>, <*n>, <*m>
0d00 nnnn dddd  n 1 m 0 mmmm   VMLS<c>.*     <*d>, <*n>, <*m>
0d01 nnnn dddd  n 0 m 0 mmmm   VNMLS<c>.*    <*d>, <*n>, <*m>
0d01 nnnn dddd  n 1 m 0 mmmm   VNMLA<c>.*    <*d>, <*n>, <*m>
0d10 nnnn dddd  n 0 m 0 mmmm   VMUL<c>.*     <*d>, <*n>, <*m>
0d10 nnnn dddd  n 1 m 0 mmmm   VNMUL<c>.*    <*d>, <*n>, <*m>
0d11 nnnn dddd  n 0 m 0 mmmm   VADD<c>.*     <*d>, <*n>, <*m>
0d11 nnnn dddd  n 1 m 0 mmmm   VSUB<c>.*     <*d>, <*n>, <*m>
1d00 nnnn dddd  n 0 m 0 mmmm   VDIV<c>.*     <*d>, <*n>, <*m>
1d01 nnnn dddd  n 0 m 0 mmmm   VFNMS<c>.*    <*d>, <*n>, <*m>
1d01 nnnn dddd  n 1 m 0 mmmm   VFNMA<c>.*    <*d>, <*n>, <*m>
1d10 nnnn dddd  n 0 m 0 mmmm   VFMA<c>.*     <*d>, <*n>, <*m>
1d10 nnnn dddd  n 1 m 0 mmmm   VFMS<c>.*     <*d>, <*n>, <*m>
1d11 iiii dddd  0 0 0 0 iiii   VMOV<c>.*     <*d>, <float>
1d11 0000 dddd  1 1 m 0 mmmm   VABS<c>.*     <*d>, <*m>
1d11 0001 dddd  0 1 m 0 mmmm   VNEG<c>.*     <*d>, <*m>
1d11 0001 dddd  1 1 m 0 mmmm   VSQRT<c>.*    <*d>, <*m>
1d11 0100 dddd  0 1 m 0 mmmm   VCMP<c>.*     <*d>, <*m>
1d11 0100 dddd  1 1 m 0 mmmm   VCMPE<c>.*    <*d>, <*m>
1d11 0101 dddd  0 1 0 0 0000   VCMP<c>.*     <*d>, #0
1d11 0101 dddd  1 1 0 0 0000   VCMPE<c>.*    <*d>, #0
1d11 0110 dddd  0 1 m 0 mmmm   VRINTR<c>.*   <*d>, <*m>
1d11 0110 dddd  1 1 m 0 mmmm   VRINTZ<c>.*   <*d>, <*m>
1d11 0111 dddd  0 1 m 0 mmmm   VRINTX<c>.*   <*d>, <*m>
1d11 1000 dddd  0 1 m 0 mmmm   VCVT<c>.*.U32   <*d>, <Sm>
1d11 1000 dddd  1 1 m 0 mmmm   VCVT<c>.*.S32   <*d>, <Sm>
1d11 1100 dddd  0 1 m 0 mmmm   VCVTR<c>.U32.*  <Sd>, <*m>
1d11 1100 dddd  1 1 m 0 mmmm   VCVT<c>.U32.*   <Sd>, <*m>
1d11 1101 dddd  0 1 m 0 mmmm   VCVTR<c>.S32.*  <Sd>, <*m>
1d11 1101 dddd  1 1 m 0 mmmm   VCVT<c>.S32.*   <Sd>, <*m>
1d11 1010 dddd  0 1 i 0 iiii   VCVT<c>.*.S16   <*d>, <*d>, <fraction16>
1d11 1010 dddd  1 1 i 0 iiii   VCVT<c>.*.S32   <*d>, <*d>, <fraction32>
1d11 1011 dddd  0 1 i 0 iiii   VCVT<c>.*.U16   <*d>, <*d>, <fraction16>
1d11 1011 dddd  1 1 i 0 iiii   VCVT<c>.*.U32   <*d>, <*d>, <fraction32>
1d11 1110 dddd  0 1 i 0 iiii   VCVT<c>.S16.*   <*d>, <*d>, <fraction16>
1d11 1110 dddd  1 1 i 0 iiii   VCVT<c>.S32.*   <*d>, <*d>, <fraction32>
1d11 1111 dddd  0 1 i 0 iiii   VCVT<c>.U16.*   <*d>, <*d>, <fraction16>
1d11 1111 dddd  1 1 i 0 iiii   VCVT<c>.U32.*   <*d>, <*d>, <fraction32>
`

/** Like `vfpPrecisionRows`, for unconditional instructions, which begin with 1111 1110. */
export const vfpUnconditionalRows: string = `
0dNN nnnn dddd  n 0 m 0 mmmm   (VSELEQ|VSELVS|VSELGE|VSELGT).*   <*d>, <*n>, <*m>
1d00 nnnn dddd  n 0 m 0 mmmm   VMAXNM.*      <*d>, <*n>, <*m>
1d00 nnnn dddd  n 1 m 0 mmmm   VMINNM.*      <*d>, <*n>, <*m>
1d11 10NN dddd  0 1 m 0 mmmm   (VRINTA|VRINTN|VRINTP|VRINTM).*   <*d>, <*m>
1d11 11NN dddd  0 1 m 0 mmmm   (VCVTA|VCVTN|VCVTP|VCVTM).U32.*   <Sd>, <*m>
1d11 11NN dddd  1 1 m 0 mmmm   (VCVTA|VCVTN|VCVTP|VCVTM).S32.*   <Sd>, <*m>
`

/** All other instructions, with a condition: T32 has the same encodings under 1110. */
export const vfpRows: string = `
# Of one or two precisions
cccc 1110 1d11 0000 dddd 101L 01 m 0 mmmm      VMOV<c>.(F32|F64)         <(S|D)d>, <(S|D)m>     float
cccc 1110 1d11 0010 dddd 1010 L1 m 0 mmmm      (VCVTB|VCVTT)<c>.F32.F16  <Sd>, <Sm>             float
cccc 1110 1d11 0010 dddd 1011 L1 m 0 mmmm      (VCVTB|VCVTT)<c>.F64.F16  <Dd>, <Sm>             float
cccc 1110 1d11 0011 dddd 1010 L1 m 0 mmmm      (VCVTB|VCVTT)<c>.F16.F32  <Sd>, <Sm>             float
cccc 1110 1d11 0011 dddd 1011 L1 m 0 mmmm      (VCVTB|VCVTT)<c>.F16.F64  <Sd>, <Dm>             float
cccc 1110 1d11 0011 dddd 1001 L1 m 0 mmmm      (VCVTB|VCVTT)<c>.BF16.F32  <Sd>, <Sm>            float AA32BF16
cccc 1110 1d11 0111 dddd 1010 11 m 0 mmmm      VCVT<c>.F64.F32           <Dd>, <Sm>             float
cccc 1110 1d11 0111 dddd 1011 11 m 0 mmmm      VCVT<c>.F32.F64           <Sd>, <Dm>             float
cccc 1110 1d11 1001 dddd 1011 11 m 0 mmmm      VJCVT<c>.S32.F64          <Sd>, <Dm>             float JSCVT

# Between registers
cccc 1110 0000 nnnn tttt 1001 n 00 1 0000      VMOV<c>.F16               <Sn>, <Rt>             transfer FP16
cccc 1110 0001 nnnn tttt 1001 n 00 1 0000      VMOV<c>.F16               <Rt>, <Sn>             transfer FP16
cccc 1110 0000 nnnn tttt 1010 n 00 1 0000      VMOV<c>                   <Sn>, <Rt>             transfer
cccc 1110 0001 nnnn tttt 1010 n 00 1 0000      VMOV<c>                   <Rt>, <Sn>             transfer
cccc 1110 01l0 dddd tttt 1011 d ll 1 0000      VMOV<c>.8                 <Dd[l]>, <Rt>          transfer
cccc 1110 00l0 dddd tttt 1011 d l1 1 0000      VMOV<c>.16                <Dd[l]>, <Rt>          transfer
cccc 1110 00l0 dddd tttt 1011 d 00 1 0000      VMOV<c>.32                <Dd[l]>, <Rt>          transfer
cccc 1110 01l1 nnnn tttt 1011 n ll 1 0000      VMOV<c>.S8                <Rt>, <Dn[l]>          transfer
cccc 1110 11l1 nnnn tttt 1011 n ll 1 0000      VMOV<c>.U8                <Rt>, <Dn[l]>          transfer
cccc 1110 00l1 nnnn tttt 1011 n l1 1 0000      VMOV<c>.S16               <Rt>, <Dn[l]>          transfer
cccc 1110 10l1 nnnn tttt 1011 n l1 1 0000      VMOV<c>.U16               <Rt>, <Dn[l]>          transfer
cccc 1110 00l1 nnnn tttt 1011 n 00 1 0000      VMOV<c>.32                <Rt>, <Dn[l]>          transfer
cccc 1110 10Q0 dddd tttt 1011 d 00 1 0000      VDUP<c>.32                <Vd>, <Rt>             transfer
cccc 1110 10Q0 dddd tttt 1011 d 01 1 0000      VDUP<c>.16                <Vd>, <Rt>             transfer
cccc 1110 11Q0 dddd tttt 1011 d 00 1 0000      VDUP<c>.8                 <Vd>, <Rt>             transfer
cccc 1100 0100 uuuu tttt 1010 00m1 mmmm        VMOV<c>                   <Sm>, <Sm1>, <Rt>, <Ru>   transfer m!=31
cccc 1100 0101 uuuu tttt 1010 00m1 mmmm        VMOV<c>                   <Rt>, <Ru>, <Sm>, <Sm1>   transfer m!=31
cccc 1100 0100 uuuu tttt 1011 00m1 mmmm        VMOV<c>                   <Dm>, <Rt>, <Ru>       transfer
cccc 1100 0101 uuuu tttt 1011 00m1 mmmm        VMOV<c>                   <Rt>, <Ru>, <Dm>       transfer
cccc 1110 1110 iiii tttt 1010 ---1 ----        VMSR<c>                   <fpsystem>, <Rt>       system fpsystem
cccc 1110 1111 0001 1111 1010 ---1 ----        VMRS<c>                   <apsr>, fpscr     system
cccc 1110 1111 iiii tttt 1010 ---1 ----        VMRS<c>                   <Rt>, <fpsystem>       system fpsystem

# Without a condition
1111 1110 1d11 0000 dddd 1010 11 m 0 mmmm      VINS.F16                  <Sd>, <Sm>             float FP16
1111 1110 1d11 0000 dddd 1010 01 m 0 mmmm      VMOVX.F16                 <Sd>, <Sm>             float FP16
`
