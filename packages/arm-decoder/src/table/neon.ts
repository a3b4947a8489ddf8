/**
 * Advanced SIMD of A32 and T32: instructions that access no memory. See `row.ts` for the language.
 *
 * Fields: `d` `n` `m` registers, `Q` vectors of 128 bits, `u` unsigned, `z` size of an element, `x` half precision, `i` immediate,
 * `l` lane. Bit 24, which comes first, is bit 28 in T32; what stands before it is the same in all rows of a set.
 *
 * Source: Arm ARM (DDI 0487), part F, "Advanced SIMD data-processing".
 */
export const neonRows: string = `
# Three registers
u 0d zz nnnn dddd 0000 n Q m 0 mmmm   VHADD<c>.<su><z>    <Vd>, <Vn>, <Vm>   vector z!=3
u 0d zz nnnn dddd 0000 n Q m 1 mmmm   VQADD<c>.<su><z>    <Vd>, <Vn>, <Vm>   vector
u 0d zz nnnn dddd 0001 n Q m 0 mmmm   VRHADD<c>.<su><z>   <Vd>, <Vn>, <Vm>   vector z!=3
0 0d NN nnnn dddd 0001 n Q m 1 mmmm   (VAND|VBIC|VORR|VORN)<c>  <Vd>, <Vn>, <Vm>   vector
1 0d NN nnnn dddd 0001 n Q m 1 mmmm   (VEOR|VBSL|VBIT|VBIF)<c>  <Vd>, <Vn>, <Vm>   vector
u 0d zz nnnn dddd 0010 n Q m 0 mmmm   VHSUB<c>.<su><z>    <Vd>, <Vn>, <Vm>   vector z!=3
u 0d zz nnnn dddd 0010 n Q m 1 mmmm   VQSUB<c>.<su><z>    <Vd>, <Vn>, <Vm>   vector
u 0d zz nnnn dddd 0011 n Q m 0 mmmm   VCGT<c>.<su><z>     <Vd>, <Vn>, <Vm>   vector z!=3
u 0d zz nnnn dddd 0011 n Q m 1 mmmm   VCGE<c>.<su><z>     <Vd>, <Vn>, <Vm>   vector z!=3
u 0d zz nnnn dddd 0100 n Q m 0 mmmm   VSHL<c>.<su><z>     <Vd>, <Vm>, <Vn>   vector
u 0d zz nnnn dddd 0100 n Q m 1 mmmm   VQSHL<c>.<su><z>    <Vd>, <Vm>, <Vn>   vector
u 0d zz nnnn dddd 0101 n Q m 0 mmmm   VRSHL<c>.<su><z>    <Vd>, <Vm>, <Vn>   vector
u 0d zz nnnn dddd 0101 n Q m 1 mmmm   VQRSHL<c>.<su><z>   <Vd>, <Vm>, <Vn>   vector
u 0d zz nnnn dddd 0110 n Q m 0 mmmm   VMAX<c>.<su><z>     <Vd>, <Vn>, <Vm>   vector z!=3
u 0d zz nnnn dddd 0110 n Q m 1 mmmm   VMIN<c>.<su><z>     <Vd>, <Vn>, <Vm>   vector z!=3
u 0d zz nnnn dddd 0111 n Q m 0 mmmm   VABD<c>.<su><z>     <Vd>, <Vn>, <Vm>   vector z!=3
u 0d zz nnnn dddd 0111 n Q m 1 mmmm   VABA<c>.<su><z>     <Vd>, <Vn>, <Vm>   vector z!=3
L 0d zz nnnn dddd 1000 n Q m 0 mmmm   (VADD|VSUB)<c>.I<z>  <Vd>, <Vn>, <Vm>  vector
0 0d zz nnnn dddd 1000 n Q m 1 mmmm   VTST<c>.<z>         <Vd>, <Vn>, <Vm>   vector z!=3
1 0d zz nnnn dddd 1000 n Q m 1 mmmm   VCEQ<c>.I<z>        <Vd>, <Vn>, <Vm>   vector z!=3
L 0d zz nnnn dddd 1001 n Q m 0 mmmm   (VMLA|VMLS)<c>.I<z>  <Vd>, <Vn>, <Vm>  vector z!=3
0 0d zz nnnn dddd 1001 n Q m 1 mmmm   VMUL<c>.I<z>        <Vd>, <Vn>, <Vm>   vector z!=3
1 0d 00 nnnn dddd 1001 n Q m 1 mmmm   VMUL<c>.P8          <Vd>, <Vn>, <Vm>   vector
u 0d zz nnnn dddd 1010 n 0 m 0 mmmm   VPMAX<c>.<su><z>    <Dd>, <Dn>, <Dm>   vector z!=3
u 0d zz nnnn dddd 1010 n 0 m 1 mmmm   VPMIN<c>.<su><z>    <Dd>, <Dn>, <Dm>   vector z!=3
L 0d zz nnnn dddd 1011 n Q m 0 mmmm   (VQDMULH|VQRDMULH)<c>.S<z>  <Vd>, <Vn>, <Vm>   vector z!=0 z!=3
0 0d zz nnnn dddd 1011 n 0 m 1 mmmm   VPADD<c>.I<z>       <Dd>, <Dn>, <Dm>   vector z!=3
1 0d zz nnnn dddd 1011 n Q m 1 mmmm   VQRDMLAH<c>.S<z>    <Vd>, <Vn>, <Vm>   vector z!=0 z!=3 RDM
1 0d zz nnnn dddd 1100 n Q m 1 mmmm   VQRDMLSH<c>.S<z>    <Vd>, <Vn>, <Vm>   vector z!=0 z!=3 RDM
0 0d NN nnnn dddd 1100 n 1 m 0 mmmm   (SHA1C|SHA1P|SHA1M|SHA1SU0).32  <Qd>, <Qn>, <Qm>   sha SHA1
1 0d NN nnnn dddd 1100 n 1 m 0 mmmm   (SHA256H|SHA256H2|SHA256SU1|.).32  <Qd>, <Qn>, <Qm>   sha SHA256
0 0d Lx nnnn dddd 1100 n Q m 1 mmmm   (VFMA|VFMS)<c>.<f>  <Vd>, <Vn>, <Vm>   vector
0 0d Lx nnnn dddd 1101 n Q m 0 mmmm   (VADD|VSUB)<c>.<f>  <Vd>, <Vn>, <Vm>   vector
1 0d 0x nnnn dddd 1101 n 0 m 0 mmmm   VPADD<c>.<f>        <Dd>, <Dn>, <Dm>   vector
1 0d 1x nnnn dddd 1101 n Q m 0 mmmm   VABD<c>.<f>         <Vd>, <Vn>, <Vm>   vector
0 0d Lx nnnn dddd 1101 n Q m 1 mmmm   (VMLA|VMLS)<c>.<f>  <Vd>, <Vn>, <Vm>   vector
1 0d 0x nnnn dddd 1101 n Q m 1 mmmm   VMUL<c>.<f>         <Vd>, <Vn>, <Vm>   vector
0 0d 0x nnnn dddd 1110 n Q m 0 mmmm   VCEQ<c>.<f>         <Vd>, <Vn>, <Vm>   vector
1 0d Lx nnnn dddd 1110 n Q m 0 mmmm   (VCGE|VCGT)<c>.<f>  <Vd>, <Vn>, <Vm>   vector
1 0d Lx nnnn dddd 1110 n Q m 1 mmmm   (VACGE|VACGT)<c>.<f>  <Vd>, <Vn>, <Vm>   vector
0 0d Lx nnnn dddd 1111 n Q m 0 mmmm   (VMAX|VMIN)<c>.<f>  <Vd>, <Vn>, <Vm>   vector
1 0d Lx nnnn dddd 1111 n 0 m 0 mmmm   (VPMAX|VPMIN)<c>.<f>  <Dd>, <Dn>, <Dm>   vector
0 0d Lx nnnn dddd 1111 n Q m 1 mmmm   (VRECPS|VRSQRTS)<c>.<f>  <Vd>, <Vn>, <Vm>   vector
1 0d Lx nnnn dddd 1111 n Q m 1 mmmm   (VMAXNM|VMINNM).<f>  <Vd>, <Vn>, <Vm>   vector

# Three registers of different lengths
u 1d zz nnnn dddd 00L0 n 0 m 0 mmmm   (VADDL|VSUBL)<c>.<su><z>  <Qd>, <Dn>, <Dm>   vector z!=3
u 1d zz nnnn dddd 00L1 n 0 m 0 mmmm   (VADDW|VSUBW)<c>.<su><z>  <Qd>, <Qn>, <Dm>   vector z!=3
0 1d zz nnnn dddd 01L0 n 0 m 0 mmmm   (VADDHN|VSUBHN)<c>.I<z+>    <Dd>, <Qn>, <Qm>   vector z!=3
1 1d zz nnnn dddd 01L0 n 0 m 0 mmmm   (VRADDHN|VRSUBHN)<c>.I<z+>  <Dd>, <Qn>, <Qm>   vector z!=3
u 1d zz nnnn dddd 01L1 n 0 m 0 mmmm   (VABAL|VABDL)<c>.<su><z>  <Qd>, <Dn>, <Dm>   vector z!=3
u 1d zz nnnn dddd 10L0 n 0 m 0 mmmm   (VMLAL|VMLSL)<c>.<su><z>  <Qd>, <Dn>, <Dm>   vector z!=3
0 1d zz nnnn dddd 10L1 n 0 m 0 mmmm   (VQDMLAL|VQDMLSL)<c>.S<z>  <Qd>, <Dn>, <Dm>   vector z!=0 z!=3
u 1d zz nnnn dddd 1100 n 0 m 0 mmmm   VMULL<c>.<su><z>    <Qd>, <Dn>, <Dm>   vector z!=3
0 1d zz nnnn dddd 1101 n 0 m 0 mmmm   VQDMULL<c>.S<z>     <Qd>, <Dn>, <Dm>   vector z!=0 z!=3
0 1d 00 nnnn dddd 1110 n 0 m 0 mmmm   VMULL<c>.P8         <Qd>, <Dn>, <Dm>   vector
0 1d 10 nnnn dddd 1110 n 0 m 0 mmmm   VMULL.P64           <Qd>, <Dn>, <Dm>   vector PMULL

# Two registers
1 1d11 zz00 dddd 00000 Q m 0 mmmm     VREV64<c>.<z>       <Vd>, <Vm>         vector z!=3
1 1d11 zz00 dddd 00001 Q m 0 mmmm     VREV32<c>.<z>       <Vd>, <Vm>         vector z<2
1 1d11 zz00 dddd 00010 Q m 0 mmmm     VREV16<c>.<z>       <Vd>, <Vm>         vector z=0
1 1d11 zz00 dddd 0010u Q m 0 mmmm     VPADDL<c>.<su><z>   <Vd>, <Vm>         vector z!=3
1 1d11 0000 dddd 00110 L m 0 mmmm     (AESE|AESD).8       <Qd>, <Qm>         aes AES
1 1d11 0000 dddd 00111 L m 0 mmmm     (AESMC|AESIMC).8    <Qd>, <Qm>         aes AES
1 1d11 zz00 dddd 01000 Q m 0 mmmm     VCLS<c>.S<z>        <Vd>, <Vm>         vector z!=3
1 1d11 zz00 dddd 01001 Q m 0 mmmm     VCLZ<c>.I<z>        <Vd>, <Vm>         vector z!=3
1 1d11 0000 dddd 01010 Q m 0 mmmm     VCNT<c>.8           <Vd>, <Vm>         vector
1 1d11 0000 dddd 01011 Q m 0 mmmm     VMVN<c>             <Vd>, <Vm>         vector
1 1d11 zz00 dddd 0110u Q m 0 mmmm     VPADAL<c>.<su><z>   <Vd>, <Vm>         vector z!=3
1 1d11 zz00 dddd 0111L Q m 0 mmmm     (VQABS|VQNEG)<c>.S<z>  <Vd>, <Vm>      vector z!=3
1 1d11 zz01 dddd 0000L Q m 0 mmmm     (VCGT|VCGE)<c>.S<z>  <Vd>, <Vm>, #0    vector z!=3
1 1d11 zz01 dddd 00010 Q m 0 mmmm     VCEQ<c>.I<z>        <Vd>, <Vm>, #0     vector z!=3
1 1d11 zz01 dddd 00011 Q m 0 mmmm     VCLE<c>.S<z>        <Vd>, <Vm>, #0     vector z!=3
1 1d11 zz01 dddd 00100 Q m 0 mmmm     VCLT<c>.S<z>        <Vd>, <Vm>, #0     vector z!=3
1 1d11 1001 dddd 00101 1 m 0 mmmm     SHA1H.32            <Qd>, <Qm>         sha SHA1
1 1d11 zz01 dddd 0011L Q m 0 mmmm     (VABS|VNEG)<c>.S<z>  <Vd>, <Vm>        vector z!=3
1 1d11 zz01 dddd 010NN Q m 0 mmmm     (VCGT|VCGE|VCEQ|VCLE)<c>.F<z>  <Vd>, <Vm>, #0   vector z!=0 z!=3
1 1d11 zz01 dddd 01100 Q m 0 mmmm     VCLT<c>.F<z>        <Vd>, <Vm>, #0     vector z!=0 z!=3
1 1d11 zz01 dddd 0111L Q m 0 mmmm     (VABS|VNEG)<c>.F<z>  <Vd>, <Vm>        vector z!=0 z!=3
1 1d11 0010 dddd 00000 Q m 0 mmmm     VSWP<c>             <Vd>, <Vm>         vector
1 1d11 zz10 dddd 00001 Q m 0 mmmm     VTRN<c>.<z>         <Vd>, <Vm>         vector z!=3
1 1d11 zz10 dddd 0001L Q m 0 mmmm     (VUZP|VZIP)<c>.<z>  <Vd>, <Vm>         vector z!=3 zQ!=4
1 1d11 zz10 dddd 00100 0 m 0 mmmm     VMOVN<c>.I<z+>      <Dd>, <Qm>         vector z!=3
1 1d11 zz10 dddd 00100 1 m 0 mmmm     VQMOVUN<c>.S<z+>    <Dd>, <Qm>         vector z!=3
1 1d11 zz10 dddd 00101 u m 0 mmmm     VQMOVN<c>.<su><z+>  <Dd>, <Qm>         vector z!=3
1 1d11 zz10 dddd 00110 0 m 0 mmmm     VSHLL<c>.I<z>       <Qd>, <Dm>, <#8<<z>   vector z!=3
1 1d11 1010 dddd 00111 0 m 0 mmmm     SHA1SU1.32          <Qd>, <Qm>         sha SHA1
1 1d11 1010 dddd 00111 1 m 0 mmmm     SHA256SU0.32        <Qd>, <Qm>         sha SHA256
1 1d11 zz10 dddd 01000 Q m 0 mmmm     VRINTN.F<z>         <Vd>, <Vm>         vector z!=0 z!=3
1 1d11 zz10 dddd 01001 Q m 0 mmmm     VRINTX.F<z>         <Vd>, <Vm>         vector z!=0 z!=3
1 1d11 zz10 dddd 01010 Q m 0 mmmm     VRINTA.F<z>         <Vd>, <Vm>         vector z!=0 z!=3
1 1d11 zz10 dddd 01011 Q m 0 mmmm     VRINTZ.F<z>         <Vd>, <Vm>         vector z!=0 z!=3
1 1d11 zz10 dddd 01101 Q m 0 mmmm     VRINTM.F<z>         <Vd>, <Vm>         vector z!=0 z!=3
1 1d11 zz10 dddd 01111 Q m 0 mmmm     VRINTP.F<z>         <Vd>, <Vm>         vector z!=0 z!=3
1 1d11 0110 dddd 01100 0 m 0 mmmm     VCVT<c>.F16.F32     <Dd>, <Qm>         vector
1 1d11 0110 dddd 01100 1 m 0 mmmm     VCVT<c>.BF16.F32    <Dd>, <Qm>         vector AA32BF16
1 1d11 0110 dddd 01110 0 m 0 mmmm     VCVT<c>.F32.F16     <Qd>, <Dm>         vector
1 1d11 zz11 dddd 00NN0 Q m 0 mmmm     (VCVTA|VCVTN|VCVTP|VCVTM).S<z>.F<z>  <Vd>, <Vm>   vector z!=0 z!=3
1 1d11 zz11 dddd 00NN1 Q m 0 mmmm     (VCVTA|VCVTN|VCVTP|VCVTM).U<z>.F<z>  <Vd>, <Vm>   vector z!=0 z!=3
1 1d11 1011 dddd 0100L Q m 0 mmmm     (VRECPE|VRSQRTE)<c>.U32  <Vd>, <Vm>    vector
1 1d11 zz11 dddd 0101L Q m 0 mmmm     (VRECPE|VRSQRTE)<c>.F<z>  <Vd>, <Vm>   vector z!=0 z!=3
1 1d11 zz11 dddd 0110L Q m 0 mmmm     VCVT<c>.F<z>.(S|U)<z>  <Vd>, <Vm>      vector z!=0 z!=3
1 1d11 zz11 dddd 0111L Q m 0 mmmm     VCVT<c>.(S|U)<z>.F<z>  <Vd>, <Vm>      vector z!=0 z!=3

# Lanes, tables, extraction
1 1d11 lll1 dddd 11000 Q m 0 mmmm     VDUP<c>.8           <Vd>, <Dm[l]>      vector
1 1d11 ll10 dddd 11000 Q m 0 mmmm     VDUP<c>.16          <Vd>, <Dm[l]>      vector
1 1d11 l100 dddd 11000 Q m 0 mmmm     VDUP<c>.32          <Vd>, <Dm[l]>      vector
1 1d11 nnnn dddd 10ll n L m 0 mmmm    (VTBL|VTBX)<c>.8    <Dd>, <table>, <Dm>   table table
0 1d11 nnnn dddd iiii n 1 m 0 mmmm    VEXT<c>.8           <Qd>, <Qn>, <Qm>, <#i>   vector
0 1d11 nnnn dddd iiii n 0 m 0 mmmm    VEXT<c>.8           <Dd>, <Dn>, <Dm>, <#i>   vector i<8

# Modified immediates
i 1d000 iii dddd 0--0 0 Q 0 1 iiii    VMOV<c>.I32         <Vd>, <modified>   constant
i 1d000 iii dddd 10-0 0 Q 0 1 iiii    VMOV<c>.I16         <Vd>, <modified>   constant
i 1d000 iii dddd 110- 0 Q 0 1 iiii    VMOV<c>.I32         <Vd>, <modified>   constant
i 1d000 iii dddd 1110 0 Q 0 1 iiii    VMOV<c>.I8          <Vd>, <modified>   constant
i 1d000 iii dddd 1111 0 Q 0 1 iiii    VMOV<c>.F32         <Vd>, <float>      constant
i 1d000 iii dddd 0--1 0 Q 0 1 iiii    VORR<c>.I32         <Vd>, <modified>   constant
i 1d000 iii dddd 10-1 0 Q 0 1 iiii    VORR<c>.I16         <Vd>, <modified>   constant
i 1d000 iii dddd 0--0 0 Q 1 1 iiii    VMVN<c>.I32         <Vd>, <modified>   constant
i 1d000 iii dddd 10-0 0 Q 1 1 iiii    VMVN<c>.I16         <Vd>, <modified>   constant
i 1d000 iii dddd 110- 0 Q 1 1 iiii    VMVN<c>.I32         <Vd>, <modified>   constant
i 1d000 iii dddd 0--1 0 Q 1 1 iiii    VBIC<c>.I32         <Vd>, <modified>   constant
i 1d000 iii dddd 10-1 0 Q 1 1 iiii    VBIC<c>.I16         <Vd>, <modified>   constant
i 1d000 iii dddd 1110 0 Q 1 1 iiii    VMOV<c>.I64         <Vd>, <modified>   constant
`

/**
 * By a lane of the second source. Columns: bit 24 (`Q` where the vectors may have 128 bits), bits 11 to 8, sizes of
 * elements (h: 16 bits, s: 32), mnemonic with its data type, and the registers; the lane follows.
 */
export const neonLaneRows: string = `
Q 0000 hs  VMLA<c>.I*       <Vd>, <Vn>
Q 0001 hs  VMLA<c>.F*       <Vd>, <Vn>
u 0010 hs  VMLAL<c>.<su>*   <Qd>, <Dn>
0 0011 hs  VQDMLAL<c>.S*    <Qd>, <Dn>
Q 0100 hs  VMLS<c>.I*       <Vd>, <Vn>
Q 0101 hs  VMLS<c>.F*       <Vd>, <Vn>
u 0110 hs  VMLSL<c>.<su>*   <Qd>, <Dn>
0 0111 hs  VQDMLSL<c>.S*    <Qd>, <Dn>
Q 1000 hs  VMUL<c>.I*       <Vd>, <Vn>
Q 1001 hs  VMUL<c>.F*       <Vd>, <Vn>
u 1010 hs  VMULL<c>.<su>*   <Qd>, <Dn>
0 1011 hs  VQDMULL<c>.S*    <Qd>, <Dn>
Q 1100 hs  VQDMULH<c>.S*    <Vd>, <Vn>
Q 1101 hs  VQRDMULH<c>.S*   <Vd>, <Vn>
Q 1110 hs  VQRDMLAH<c>.S*   <Vd>, <Vn>
Q 1111 hs  VQRDMLSH<c>.S*   <Vd>, <Vn>
`

/**
 * Shifts by an immediate. Columns: bit 24, bits 11 to 8, bit 6, kind, sizes of the narrower elements (b h s d), mnemonic with
 * its data type, in which `*` is the size that the manual names.
 */
export const neonShiftRows: string = `
u 0000 Q right   bhsd  VSHR<c>.<su>*
u 0001 Q right   bhsd  VSRA<c>.<su>*
u 0010 Q right   bhsd  VRSHR<c>.<su>*
u 0011 Q right   bhsd  VRSRA<c>.<su>*
1 0100 Q right   bhsd  VSRI<c>.*
0 0101 Q left    bhsd  VSHL<c>.I*
1 0101 Q left    bhsd  VSLI<c>.*
1 0110 Q left    bhsd  VQSHLU<c>.S*
u 0111 Q left    bhsd  VQSHL<c>.<su>*
0 1000 0 narrow  bhs   VSHRN<c>.I*
0 1000 1 narrow  bhs   VRSHRN<c>.I*
1 1000 0 narrow  bhs   VQSHRUN<c>.S*
1 1000 1 narrow  bhs   VQRSHRUN<c>.S*
u 1001 0 narrow  bhs   VQSHRN<c>.<su>*
u 1001 1 narrow  bhs   VQRSHRN<c>.<su>*
u 1010 0 long    bhs   VSHLL<c>.<su>*
0 1100 Q fixed   h     VCVT<c>.F16.S16
0 1101 Q fixed   h     VCVT<c>.S16.F16
1 1100 Q fixed   h     VCVT<c>.F16.U16
1 1101 Q fixed   h     VCVT<c>.U16.F16
0 1110 Q fixed   s     VCVT<c>.F32.S32
0 1111 Q fixed   s     VCVT<c>.S32.F32
1 1110 Q fixed   s     VCVT<c>.F32.U32
1 1111 Q fixed   s     VCVT<c>.U32.F32
`

/** Instructions from after Armv8.0: the same encodings in A32 and T32. */
export const neonExtensionRows: string = `
1111 110L 1d0x nnnn dddd 1000 n Q m 0 mmmm    VCADD.<fx>         <Vd>, <Vn>, <Vm>, #(90|270)    vector FCMA
1111 110r rd1x nnnn dddd 1000 n Q m 0 mmmm    VCMLA.<fx>         <Vd>, <Vn>, <Vm>, <#r*90>      vector FCMA
1111 1110 0drr nnnn dddd 1000 n Q l 0 mmmm    VCMLA.F16          <Vd>, <Vn>, <Dm[l]>, <#r*90>   vector FCMA
1111 1110 1drr nnnn dddd 1000 n Q m 0 mmmm    VCMLA.F32          <Vd>, <Vn>, <Dm>[0], <#r*90>   vector FCMA
1111 1100 0d10 nnnn dddd 1101 n Q m L mmmm    (VSDOT.S8|VUDOT.U8)  <Vd>, <Vn>, <Vm>             vector DotProd
1111 1110 0d10 nnnn dddd 1101 n Q l L mmmm    (VSDOT.S8|VUDOT.U8)  <Vd>, <Vn>, <Dm[l]>          vector DotProd
1111 1100 1d10 nnnn dddd 1101 n Q m 0 mmmm    VUSDOT.S8          <Vd>, <Vn>, <Vm>               vector AA32I8MM
1111 1110 1d00 nnnn dddd 1101 n Q l L mmmm    (VUSDOT.S8|VSUDOT.U8)  <Vd>, <Vn>, <Dm[l]>        vector AA32I8MM
1111 1100 0d10 nnnn dddd 1100 n 1 m L mmmm    (VSMMLA.S8|VUMMLA.U8)  <Qd>, <Qn>, <Qm>           vector AA32I8MM
1111 1100 1d10 nnnn dddd 1100 n 1 m 0 mmmm    VUSMMLA.S8         <Qd>, <Qn>, <Qm>               vector AA32I8MM
1111 1100 0d00 nnnn dddd 1100 n 1 m 0 mmmm    VMMLA.BF16         <Qd>, <Qn>, <Qm>               vector AA32BF16
1111 1100 0d00 nnnn dddd 1101 n Q m 0 mmmm    VDOT.BF16          <Vd>, <Vn>, <Vm>               vector AA32BF16
1111 1110 0d00 nnnn dddd 1101 n Q l 0 mmmm    VDOT.BF16          <Vd>, <Vn>, <Dm[l]>            vector AA32BF16
1111 1100 0d11 nnnn dddd 1000 n L m 1 mmmm    (VFMAB|VFMAT).BF16  <Qd>, <Qn>, <Qm>              vector AA32BF16
1111 1110 0d11 nnnn dddd 1000 n L l 1 lmmm    (VFMAB|VFMAT).BF16  <Qd>, <Qn>, <Dm[l]>           vector AA32BF16
1111 1100 Ld10 nnnn dddd 1000 n 1 m 1 mmmm    (VFMAL|VFMSL).F16  <Qd>, <Dn>, <Dm>               vector FHM
1111 1100 Ld10 nnnn dddd 1000 n 0 m 1 mmmm    (VFMAL|VFMSL).F16  <Dd>, <Sn>, <Sm>               vector FHM
1111 1110 0d0L nnnn dddd 1000 n 1 l 1 lmmm    (VFMAL|VFMSL).F16  <Qd>, <Dn>, <Dm[l]>            vector FHM
1111 1110 0d0L nnnn dddd 1000 n 0 m 1 lmmm    (VFMAL|VFMSL).F16  <Dd>, <Sn>, <half-lane>        vector FHM
`
