/**
 * A64: Advanced SIMD. See `row.ts` for the language.
 *
 * Fields: `d` `n` `m` `a` registers, `z` the size of elements, `x` that of floating-point elements, `Q` whole vectors, `i`
 * immediates and lanes, `h` `l` the number of a lane in two parts, `r` a rotation.
 *
 * Source: Arm ARM (DDI 0487), "A64 Base Instruction Encodings", "Data Processing -- Scalar Floating-Point and Advanced SIMD".
 */
export const a64VectorRows: string = `
# Cryptography
01001110 00 10100 0010L 10 nnnnn ddddd       (AESE|AESD)     <Vd.16b>, <Vn.16b>           aes AES
01001110 00 10100 0011L 10 nnnnn ddddd       (AESMC|AESIMC)  <Vd.16b>, <Vn.16b>           aes AES
01011110 000 mmmmm 0000 00 nnnnn ddddd       SHA1C           <Qd>, <Sn>, <Vm.4s>          sha SHA1
01011110 000 mmmmm 0001 00 nnnnn ddddd       SHA1P           <Qd>, <Sn>, <Vm.4s>          sha SHA1
01011110 000 mmmmm 0010 00 nnnnn ddddd       SHA1M           <Qd>, <Sn>, <Vm.4s>          sha SHA1
01011110 000 mmmmm 0011 00 nnnnn ddddd       SHA1SU0         <Vd.4s>, <Vn.4s>, <Vm.4s>    sha SHA1
01011110 000 mmmmm 010L 00 nnnnn ddddd       (SHA256H|SHA256H2)  <Qd>, <Qn>, <Vm.4s>      sha SHA256
01011110 000 mmmmm 0110 00 nnnnn ddddd       SHA256SU1       <Vd.4s>, <Vn.4s>, <Vm.4s>    sha SHA256
01011110 00 10100 00000 10 nnnnn ddddd       SHA1H           <Sd>, <Sn>                   sha SHA1
01011110 00 10100 0000110 nnnnn ddddd        SHA1SU1         <Vd.4s>, <Vn.4s>             sha SHA1
01011110 00 10100 0001010 nnnnn ddddd        SHA256SU0       <Vd.4s>, <Vn.4s>             sha SHA256
11001110 011 mmmmm 10000L nnnnn ddddd        (SHA512H|SHA512H2)  <Qd>, <Qn>, <Vm.2d>      sha SHA512
11001110 011 mmmmm 100010 nnnnn ddddd        SHA512SU1       <Vd.2d>, <Vn.2d>, <Vm.2d>    sha SHA512
11001110 110 00000 100000 nnnnn ddddd        SHA512SU0       <Vd.2d>, <Vn.2d>             sha SHA512
11001110 011 mmmmm 100011 nnnnn ddddd        RAX1            <Vd.2d>, <Vn.2d>, <Vm.2d>    sha SHA3
11001110 00L mmmmm 0 aaaaa nnnnn ddddd       (EOR3|BCAX)     <Vd.16b>, <Vn.16b>, <Vm.16b>, <Va.16b>   sha SHA3
11001110 100 mmmmm iiiiii nnnnn ddddd        XAR             <Vd.2d>, <Vn.2d>, <Vm.2d>, <#i>          sha SHA3
11001110 010 mmmmm 0 aaaaa nnnnn ddddd       SM3SS1          <Vd.4s>, <Vn.4s>, <Vm.4s>, <Va.4s>       sm SM3
11001110 010 mmmmm 10 ii NN nnnnn ddddd      (SM3TT1A|SM3TT1B|SM3TT2A|SM3TT2B)  <Vd.4s>, <Vn.4s>, <Vm.s[i]>   sm SM3
11001110 011 mmmmm 11000L nnnnn ddddd        (SM3PARTW1|SM3PARTW2)  <Vd.4s>, <Vn.4s>, <Vm.4s>   sm SM3
11001110 011 mmmmm 110010 nnnnn ddddd        SM4EKEY         <Vd.4s>, <Vn.4s>, <Vm.4s>    sm SM4
11001110 110 00000 100001 nnnnn ddddd        SM4E            <Vd.4s>, <Vn.4s>             sm SM4

# Tables, permutations, copies
0Q 001110 000 mmmmm 0 00 L 00 nnnnn ddddd    (TBL|TBX)   <Vd.8b/16b>, <list1>, <Vm.8b/16b>   table
0Q 001110 000 mmmmm 0 01 L 00 nnnnn ddddd    (TBL|TBX)   <Vd.8b/16b>, <list2>, <Vm.8b/16b>   table
0Q 001110 000 mmmmm 0 10 L 00 nnnnn ddddd    (TBL|TBX)   <Vd.8b/16b>, <list3>, <Vm.8b/16b>   table
0Q 001110 000 mmmmm 0 11 L 00 nnnnn ddddd    (TBL|TBX)   <Vd.8b/16b>, <list4>, <Vm.8b/16b>   table
0Q 001110 zz0 mmmmm 0 L01 10 nnnnn ddddd     (UZP1|UZP2)  <Vd.T>, <Vn.T>, <Vm.T>         permute zQ!=6
0Q 001110 zz0 mmmmm 0 L10 10 nnnnn ddddd     (TRN1|TRN2)  <Vd.T>, <Vn.T>, <Vm.T>         permute zQ!=6
0Q 001110 zz0 mmmmm 0 L11 10 nnnnn ddddd     (ZIP1|ZIP2)  <Vd.T>, <Vn.T>, <Vm.T>         permute zQ!=6
00 101110 000 mmmmm 0 0iii 0 nnnnn ddddd     EXT          <Vd.8b>, <Vn.8b>, <Vm.8b>, <#i>         permute
01 101110 000 mmmmm 0 iiii 0 nnnnn ddddd     EXT          <Vd.16b>, <Vn.16b>, <Vm.16b>, <#i>      permute
01011110000 iiii1 000001 nnnnn ddddd         DUP          <Bd>, <Vn.b[i]>                copy
01011110000 iii10 000001 nnnnn ddddd         DUP          <Hd>, <Vn.h[i]>                copy
01011110000 ii100 000001 nnnnn ddddd         DUP          <Sd>, <Vn.s[i]>                copy
01011110000 i1000 000001 nnnnn ddddd         DUP          <Dd>, <Vn.d[i]>                copy
0Q 001110000 iiii1 000001 nnnnn ddddd        DUP          <Vd.8b/16b>, <Vn.b[i]>         copy
0Q 001110000 iii10 000001 nnnnn ddddd        DUP          <Vd.4h/8h>, <Vn.h[i]>          copy
0Q 001110000 ii100 000001 nnnnn ddddd        DUP          <Vd.2s/4s>, <Vn.s[i]>          copy
01 001110000 i1000 000001 nnnnn ddddd        DUP          <Vd.2d>, <Vn.d[i]>             copy
0Q 001110000 ----1 000011 nnnnn ddddd        DUP          <Vd.8b/16b>, <Wn>              copy
0Q 001110000 ---10 000011 nnnnn ddddd        DUP          <Vd.4h/8h>, <Wn>               copy
0Q 001110000 --100 000011 nnnnn ddddd        DUP          <Vd.2s/4s>, <Wn>               copy
01 001110000 -1000 000011 nnnnn ddddd        DUP          <Vd.2d>, <Xn>                  copy
0f 001110000 iiii1 001011 nnnnn ddddd        SMOV         <Rd>, <Vn.b[i]>                copy
0f 001110000 iii10 001011 nnnnn ddddd        SMOV         <Rd>, <Vn.h[i]>                copy
01 001110000 ii100 001011 nnnnn ddddd        SMOV         <Xd>, <Vn.s[i]>                copy
00 001110000 iiii1 001111 nnnnn ddddd        UMOV         <Wd>, <Vn.b[i]>                copy
00 001110000 iii10 001111 nnnnn ddddd        UMOV         <Wd>, <Vn.h[i]>                copy
00 001110000 ii100 001111 nnnnn ddddd        UMOV         <Wd>, <Vn.s[i]>                copy
01 001110000 i1000 001111 nnnnn ddddd        UMOV         <Xd>, <Vn.d[i]>                copy
01 001110000 iiii1 000111 nnnnn ddddd        INS          <Vd.b[i]>, <Wn>                copy
01 001110000 iii10 000111 nnnnn ddddd        INS          <Vd.h[i]>, <Wn>                copy
01 001110000 ii100 000111 nnnnn ddddd        INS          <Vd.s[i]>, <Wn>                copy
01 001110000 i1000 000111 nnnnn ddddd        INS          <Vd.d[i]>, <Xn>                copy
01 101110000 iiii1 0 jjjj 1 nnnnn ddddd      INS          <Vd.b[i]>, <Vn.b[j]>           copy
01 101110000 iii10 0 jjj- 1 nnnnn ddddd      INS          <Vd.h[i]>, <Vn.h[j]>           copy
01 101110000 ii100 0 jj-- 1 nnnnn ddddd      INS          <Vd.s[i]>, <Vn.s[j]>           copy
01 101110000 i1000 0 j--- 1 nnnnn ddddd      INS          <Vd.d[i]>, <Vn.d[j]>           copy

# Three registers of one size
0Q L 01110 zz 1 mmmmm 00000 1 nnnnn ddddd    (SHADD|UHADD)    <Vd.T>, <Vn.T>, <Vm.T>   vector z!=3
0Q L 01110 zz 1 mmmmm 00001 1 nnnnn ddddd    (SQADD|UQADD)    <Vd.T>, <Vn.T>, <Vm.T>   vector zQ!=6
0Q L 01110 zz 1 mmmmm 00010 1 nnnnn ddddd    (SRHADD|URHADD)  <Vd.T>, <Vn.T>, <Vm.T>   vector z!=3
0Q L 01110 zz 1 mmmmm 00100 1 nnnnn ddddd    (SHSUB|UHSUB)    <Vd.T>, <Vn.T>, <Vm.T>   vector z!=3
0Q L 01110 zz 1 mmmmm 00101 1 nnnnn ddddd    (SQSUB|UQSUB)    <Vd.T>, <Vn.T>, <Vm.T>   vector zQ!=6
0Q L 01110 zz 1 mmmmm 00110 1 nnnnn ddddd    (CMGT|CMHI)      <Vd.T>, <Vn.T>, <Vm.T>   vector zQ!=6
0Q L 01110 zz 1 mmmmm 00111 1 nnnnn ddddd    (CMGE|CMHS)      <Vd.T>, <Vn.T>, <Vm.T>   vector zQ!=6
0Q L 01110 zz 1 mmmmm 01000 1 nnnnn ddddd    (SSHL|USHL)      <Vd.T>, <Vn.T>, <Vm.T>   vector zQ!=6
0Q L 01110 zz 1 mmmmm 01001 1 nnnnn ddddd    (SQSHL|UQSHL)    <Vd.T>, <Vn.T>, <Vm.T>   vector zQ!=6
0Q L 01110 zz 1 mmmmm 01010 1 nnnnn ddddd    (SRSHL|URSHL)    <Vd.T>, <Vn.T>, <Vm.T>   vector zQ!=6
0Q L 01110 zz 1 mmmmm 01011 1 nnnnn ddddd    (SQRSHL|UQRSHL)  <Vd.T>, <Vn.T>, <Vm.T>   vector zQ!=6
0Q L 01110 zz 1 mmmmm 01100 1 nnnnn ddddd    (SMAX|UMAX)      <Vd.T>, <Vn.T>, <Vm.T>   vector z!=3
0Q L 01110 zz 1 mmmmm 01101 1 nnnnn ddddd    (SMIN|UMIN)      <Vd.T>, <Vn.T>, <Vm.T>   vector z!=3
0Q L 01110 zz 1 mmmmm 01110 1 nnnnn ddddd    (SABD|UABD)      <Vd.T>, <Vn.T>, <Vm.T>   vector z!=3
0Q L 01110 zz 1 mmmmm 01111 1 nnnnn ddddd    (SABA|UABA)      <Vd.T>, <Vn.T>, <Vm.T>   vector z!=3
0Q L 01110 zz 1 mmmmm 10000 1 nnnnn ddddd    (ADD|SUB)        <Vd.T>, <Vn.T>, <Vm.T>   vector zQ!=6
0Q L 01110 zz 1 mmmmm 10001 1 nnnnn ddddd    (CMTST|CMEQ)     <Vd.T>, <Vn.T>, <Vm.T>   vector zQ!=6
0Q L 01110 zz 1 mmmmm 10010 1 nnnnn ddddd    (MLA|MLS)        <Vd.T>, <Vn.T>, <Vm.T>   vector z!=3
0Q 0 01110 zz 1 mmmmm 10011 1 nnnnn ddddd    MUL              <Vd.T>, <Vn.T>, <Vm.T>   vector z!=3
0Q 1 01110 00 1 mmmmm 10011 1 nnnnn ddddd    PMUL             <Vd.8b/16b>, <Vn.8b/16b>, <Vm.8b/16b>   vector
0Q L 01110 zz 1 mmmmm 10100 1 nnnnn ddddd    (SMAXP|UMAXP)    <Vd.T>, <Vn.T>, <Vm.T>   vector z!=3
0Q L 01110 zz 1 mmmmm 10101 1 nnnnn ddddd    (SMINP|UMINP)    <Vd.T>, <Vn.T>, <Vm.T>   vector z!=3
0Q L 01110 zz 1 mmmmm 10110 1 nnnnn ddddd    (SQDMULH|SQRDMULH)  <Vd.T>, <Vn.T>, <Vm.T>   vector z!=0 z!=3
0Q 0 01110 zz 1 mmmmm 10111 1 nnnnn ddddd    ADDP             <Vd.T>, <Vn.T>, <Vm.T>   vector zQ!=6
0Q 0 01110 NN 1 mmmmm 00011 1 nnnnn ddddd    (AND|BIC|ORR|ORN)  <Vd.8b/16b>, <Vn.8b/16b>, <Vm.8b/16b>   vector-logical
0Q 1 01110 NN 1 mmmmm 00011 1 nnnnn ddddd    (EOR|BSL|BIT|BIF)  <Vd.8b/16b>, <Vn.8b/16b>, <Vm.8b/16b>   vector-logical
0Q 0 01110 L0 1 mmmmm 11101 1 nnnnn ddddd    (FMLAL|FMLSL)    <Vd.2s/4s>, <Vn.2h/4h>, <Vm.2h/4h>   vector (|minus) FHM
0Q 1 01110 L0 1 mmmmm 11001 1 nnnnn ddddd    (FMLAL2|FMLSL2)  <Vd.2s/4s>, <Vn.2h/4h>, <Vm.2h/4h>   vector (|minus) upper FHM
0Q 1 01110 zz 0 mmmmm 10000 1 nnnnn ddddd    SQRDMLAH         <Vd.T>, <Vn.T>, <Vm.T>   vector z!=0 z!=3 RDM
0Q 1 01110 zz 0 mmmmm 10001 1 nnnnn ddddd    SQRDMLSH         <Vd.T>, <Vn.T>, <Vm.T>   vector z!=0 z!=3 RDM
0Q L 01110 10 0 mmmmm 10010 1 nnnnn ddddd    (SDOT|UDOT)      <Vd.2s/4s>, <Vn.8b/16b>, <Vm.8b/16b>   vector DotProd
0Q 0 01110 10 0 mmmmm 10011 1 nnnnn ddddd    USDOT            <Vd.2s/4s>, <Vn.8b/16b>, <Vm.8b/16b>   vector I8MM
01 L 01110 10 0 mmmmm 10100 1 nnnnn ddddd    (SMMLA|UMMLA)    <Vd.4s>, <Vn.16b>, <Vm.16b>   vector I8MM
01 0 01110 10 0 mmmmm 10101 1 nnnnn ddddd    USMMLA           <Vd.4s>, <Vn.16b>, <Vm.16b>   vector I8MM
0Q 1 01110 01 0 mmmmm 11111 1 nnnnn ddddd    BFDOT            <Vd.2s/4s>, <Vn.4h/8h>, <Vm.4h/8h>   vector BF16
0L 1 01110 11 0 mmmmm 11111 1 nnnnn ddddd    (BFMLALB|BFMLALT)  <Vd.4s>, <Vn.8h>, <Vm.8h>   vector BF16
01 1 01110 01 0 mmmmm 11101 1 nnnnn ddddd    BFMMLA           <Vd.4s>, <Vn.8h>, <Vm.8h>   vector BF16
0Q 1 01110 zz 0 mmmmm 110 rr 1 nnnnn ddddd   FCMLA            <Vd.T>, <Vn.T>, <Vm.T>, <#r*90>   vector z!=0 zQ!=6 FCMA
0Q 1 01110 zz 0 mmmmm 111 r0 1 nnnnn ddddd   FCADD            <Vd.T>, <Vn.T>, <Vm.T>, <#r*180+90>   vector z!=0 zQ!=6 FCMA

# Two registers
0Q 0 01110 zz 10000 00000 10 nnnnn ddddd     REV64            <Vd.T>, <Vn.T>           vector z!=3
0Q 1 01110 zz 10000 00000 10 nnnnn ddddd     REV32            <Vd.T>, <Vn.T>           vector z<2
0Q 0 01110 00 10000 00001 10 nnnnn ddddd     REV16            <Vd.8b/16b>, <Vn.8b/16b>  vector
0Q L 01110 zz 10000 00010 10 nnnnn ddddd     (SADDLP|UADDLP)  <Vd.P>, <Vn.T>           vector z!=3
0Q L 01110 zz 10000 00011 10 nnnnn ddddd     (SUQADD|USQADD)  <Vd.T>, <Vn.T>           vector zQ!=6
0Q L 01110 zz 10000 00100 10 nnnnn ddddd     (CLS|CLZ)        <Vd.T>, <Vn.T>           vector z!=3
0Q 0 01110 00 10000 00101 10 nnnnn ddddd     CNT              <Vd.8b/16b>, <Vn.8b/16b>  vector
0Q 1 01110 0L 10000 00101 10 nnnnn ddddd     (NOT|RBIT)       <Vd.8b/16b>, <Vn.8b/16b>  vector
0Q L 01110 zz 10000 00110 10 nnnnn ddddd     (SADALP|UADALP)  <Vd.P>, <Vn.T>           vector z!=3
0Q L 01110 zz 10000 00111 10 nnnnn ddddd     (SQABS|SQNEG)    <Vd.T>, <Vn.T>           vector zQ!=6
0Q L 01110 zz 10000 01000 10 nnnnn ddddd     (CMGT|CMGE)      <Vd.T>, <Vn.T>, #0       vector zQ!=6
0Q L 01110 zz 10000 01001 10 nnnnn ddddd     (CMEQ|CMLE)      <Vd.T>, <Vn.T>, #0       vector zQ!=6
0Q 0 01110 zz 10000 01010 10 nnnnn ddddd     CMLT             <Vd.T>, <Vn.T>, #0       vector zQ!=6
0Q L 01110 zz 10000 01011 10 nnnnn ddddd     (ABS|NEG)        <Vd.T>, <Vn.T>           vector zQ!=6
0Q 0 01110 zz 10000 10010 10 nnnnn ddddd     XTN<2>           <Vd.T>, <Vn.W>           vector z!=3
0Q 1 01110 zz 10000 10010 10 nnnnn ddddd     SQXTUN<2>        <Vd.T>, <Vn.W>           vector z!=3
0Q 1 01110 zz 10000 10011 10 nnnnn ddddd     SHLL<2>          <Vd.W>, <Vn.T>, <#8<<z>  vector z!=3
0Q L 01110 zz 10000 10100 10 nnnnn ddddd     (SQXTN<2>|UQXTN<2>)  <Vd.T>, <Vn.W>       vector z!=3
0Q 0 01110 00 10000 10110 10 nnnnn ddddd     FCVTN<2>         <Vd.4h/8h>, <Vn.4s>      vector
0Q 0 01110 01 10000 10110 10 nnnnn ddddd     FCVTN<2>         <Vd.2s/4s>, <Vn.2d>      vector
0Q 1 01110 01 10000 10110 10 nnnnn ddddd     FCVTXN<2>        <Vd.2s/4s>, <Vn.2d>      vector
0Q 0 01110 00 10000 10111 10 nnnnn ddddd     FCVTL<2>         <Vd.4s>, <Vn.4h/8h>      vector
0Q 0 01110 01 10000 10111 10 nnnnn ddddd     FCVTL<2>         <Vd.2d>, <Vn.2s/4s>      vector
0Q 0 01110 10 10000 10110 10 nnnnn ddddd     BFCVTN<2>        <Vd.4h/8h>, <Vn.4s>      vector BF16
0Q 0 01110 10 10000 11100 10 nnnnn ddddd     URECPE           <Vd.2s/4s>, <Vn.2s/4s>   vector
0Q 1 01110 10 10000 11100 10 nnnnn ddddd     URSQRTE          <Vd.2s/4s>, <Vn.2s/4s>   vector
0Q L 01110 0x 10000 11110 10 nnnnn ddddd     (FRINT32Z|FRINT32X)  <Vd.F>, <Vn.F>       vector bytes=4 xQ!=2 FRINTTS
0Q L 01110 0x 10000 11111 10 nnnnn ddddd     (FRINT64Z|FRINT64X)  <Vd.F>, <Vn.F>       vector bytes=8 xQ!=2 FRINTTS

# Across lanes
0Q L 01110 zz 11000 00011 10 nnnnn ddddd     (SADDLV|UADDLV)  <Y+d>, <Vn.T>            across zQ!=4 z!=3
0Q L 01110 zz 11000 01010 10 nnnnn ddddd     (SMAXV|UMAXV)    <Yd>, <Vn.T>             across zQ!=4 z!=3
0Q L 01110 zz 11000 11010 10 nnnnn ddddd     (SMINV|UMINV)    <Yd>, <Vn.T>             across zQ!=4 z!=3
0Q 0 01110 zz 11000 11011 10 nnnnn ddddd     ADDV             <Yd>, <Vn.T>             across zQ!=4 z!=3
0Q 0 01110 L0 11000 01100 10 nnnnn ddddd     (FMAXNMV|FMINNMV)  <Hd>, <Vn.4h/8h>       across FP16
0Q 0 01110 L0 11000 01111 10 nnnnn ddddd     (FMAXV|FMINV)      <Hd>, <Vn.4h/8h>       across FP16
01 1 01110 L0 11000 01100 10 nnnnn ddddd     (FMAXNMV|FMINNMV)  <Sd>, <Vn.4s>          across
01 1 01110 L0 11000 01111 10 nnnnn ddddd     (FMAXV|FMINV)      <Sd>, <Vn.4s>          across

# Three registers of two sizes
0Q L 01110 zz 1 mmmmm 0000 00 nnnnn ddddd    (SADDL<2>|UADDL<2>)    <Vd.W>, <Vn.T>, <Vm.T>   vector z!=3
0Q L 01110 zz 1 mmmmm 0001 00 nnnnn ddddd    (SADDW<2>|UADDW<2>)    <Vd.W>, <Vn.W>, <Vm.T>   vector z!=3
0Q L 01110 zz 1 mmmmm 0010 00 nnnnn ddddd    (SSUBL<2>|USUBL<2>)    <Vd.W>, <Vn.T>, <Vm.T>   vector z!=3
0Q L 01110 zz 1 mmmmm 0011 00 nnnnn ddddd    (SSUBW<2>|USUBW<2>)    <Vd.W>, <Vn.W>, <Vm.T>   vector z!=3
0Q L 01110 zz 1 mmmmm 0100 00 nnnnn ddddd    (ADDHN<2>|RADDHN<2>)   <Vd.T>, <Vn.W>, <Vm.W>   vector z!=3
0Q L 01110 zz 1 mmmmm 0101 00 nnnnn ddddd    (SABAL<2>|UABAL<2>)    <Vd.W>, <Vn.T>, <Vm.T>   vector z!=3
0Q L 01110 zz 1 mmmmm 0110 00 nnnnn ddddd    (SUBHN<2>|RSUBHN<2>)   <Vd.T>, <Vn.W>, <Vm.W>   vector z!=3
0Q L 01110 zz 1 mmmmm 0111 00 nnnnn ddddd    (SABDL<2>|UABDL<2>)    <Vd.W>, <Vn.T>, <Vm.T>   vector z!=3
0Q L 01110 zz 1 mmmmm 1000 00 nnnnn ddddd    (SMLAL<2>|UMLAL<2>)    <Vd.W>, <Vn.T>, <Vm.T>   vector z!=3
0Q 0 01110 zz 1 mmmmm 1001 00 nnnnn ddddd    SQDMLAL<2>             <Vd.W>, <Vn.T>, <Vm.T>   vector z!=3 z!=0
0Q L 01110 zz 1 mmmmm 1010 00 nnnnn ddddd    (SMLSL<2>|UMLSL<2>)    <Vd.W>, <Vn.T>, <Vm.T>   vector z!=3
0Q 0 01110 zz 1 mmmmm 1011 00 nnnnn ddddd    SQDMLSL<2>             <Vd.W>, <Vn.T>, <Vm.T>   vector z!=3 z!=0
0Q L 01110 zz 1 mmmmm 1100 00 nnnnn ddddd    (SMULL<2>|UMULL<2>)    <Vd.W>, <Vn.T>, <Vm.T>   vector z!=3
0Q 0 01110 zz 1 mmmmm 1101 00 nnnnn ddddd    SQDMULL<2>             <Vd.W>, <Vn.T>, <Vm.T>   vector z!=3 z!=0
0Q 0 01110 00 1 mmmmm 1110 00 nnnnn ddddd    PMULL<2>               <Vd.8h>, <Vn.8b/16b>, <Vm.8b/16b>   vector
0Q 0 01110 11 1 mmmmm 1110 00 nnnnn ddddd    PMULL<2>               <Vd.1q>, <Vn.1d/2d>, <Vm.1d/2d>     vector PMULL

# By element. The number of a halfword's lane is H:L:M.
0Q 0 01111 01 ll mmmm 1000 h 0 nnnnn ddddd   MUL        <Vd.4h/8h>, <Vn.4h/8h>, <Vm.h[hl]>   element
0Q 0 01111 10 l mmmmm 1000 h 0 nnnnn ddddd   MUL        <Vd.2s/4s>, <Vn.2s/4s>, <Vm.s[hl]>   element
0Q 1 01111 01 ll mmmm 0L00 h 0 nnnnn ddddd   (MLA|MLS)  <Vd.4h/8h>, <Vn.4h/8h>, <Vm.h[hl]>   element
0Q 1 01111 10 l mmmmm 0L00 h 0 nnnnn ddddd   (MLA|MLS)  <Vd.2s/4s>, <Vn.2s/4s>, <Vm.s[hl]>   element
0Q L 01111 01 ll mmmm 0010 h 0 nnnnn ddddd   (SMLAL<2>|UMLAL<2>)  <Vd.4s>, <Vn.4h/8h>, <Vm.h[hl]>   element
0Q L 01111 10 l mmmmm 0010 h 0 nnnnn ddddd   (SMLAL<2>|UMLAL<2>)  <Vd.2d>, <Vn.2s/4s>, <Vm.s[hl]>   element
0Q L 01111 01 ll mmmm 0110 h 0 nnnnn ddddd   (SMLSL<2>|UMLSL<2>)  <Vd.4s>, <Vn.4h/8h>, <Vm.h[hl]>   element
0Q L 01111 10 l mmmmm 0110 h 0 nnnnn ddddd   (SMLSL<2>|UMLSL<2>)  <Vd.2d>, <Vn.2s/4s>, <Vm.s[hl]>   element
0Q L 01111 01 ll mmmm 1010 h 0 nnnnn ddddd   (SMULL<2>|UMULL<2>)  <Vd.4s>, <Vn.4h/8h>, <Vm.h[hl]>   element
0Q L 01111 10 l mmmmm 1010 h 0 nnnnn ddddd   (SMULL<2>|UMULL<2>)  <Vd.2d>, <Vn.2s/4s>, <Vm.s[hl]>   element
0Q 0 01111 01 ll mmmm 0L11 h 0 nnnnn ddddd   (SQDMLAL<2>|SQDMLSL<2>)  <Vd.4s>, <Vn.4h/8h>, <Vm.h[hl]>   element
0Q 0 01111 10 l mmmmm 0L11 h 0 nnnnn ddddd   (SQDMLAL<2>|SQDMLSL<2>)  <Vd.2d>, <Vn.2s/4s>, <Vm.s[hl]>   element
0Q 0 01111 01 ll mmmm 1011 h 0 nnnnn ddddd   SQDMULL<2>  <Vd.4s>, <Vn.4h/8h>, <Vm.h[hl]>   element
0Q 0 01111 10 l mmmmm 1011 h 0 nnnnn ddddd   SQDMULL<2>  <Vd.2d>, <Vn.2s/4s>, <Vm.s[hl]>   element
0Q 0 01111 01 ll mmmm 110L h 0 nnnnn ddddd   (SQDMULH|SQRDMULH)  <Vd.4h/8h>, <Vn.4h/8h>, <Vm.h[hl]>   element
0Q 0 01111 10 l mmmmm 110L h 0 nnnnn ddddd   (SQDMULH|SQRDMULH)  <Vd.2s/4s>, <Vn.2s/4s>, <Vm.s[hl]>   element
0Q 1 01111 01 ll mmmm 11L1 h 0 nnnnn ddddd   (SQRDMLAH|SQRDMLSH)  <Vd.4h/8h>, <Vn.4h/8h>, <Vm.h[hl]>   element RDM
0Q 1 01111 10 l mmmmm 11L1 h 0 nnnnn ddddd   (SQRDMLAH|SQRDMLSH)  <Vd.2s/4s>, <Vn.2s/4s>, <Vm.s[hl]>   element RDM
0Q L 01111 10 l mmmmm 1110 h 0 nnnnn ddddd   (SDOT|UDOT)  <Vd.2s/4s>, <Vn.8b/16b>, <Vm.4b[hl]>   element DotProd
0Q 0 01111 L0 l mmmmm 1111 h 0 nnnnn ddddd   (SUDOT|USDOT)  <Vd.2s/4s>, <Vn.8b/16b>, <Vm.4b[hl]>   element I8MM
0Q 0 01111 01 l mmmmm 1111 h 0 nnnnn ddddd   BFDOT      <Vd.2s/4s>, <Vn.4h/8h>, <Vm.2h[hl]>   element BF16
0L 0 01111 11 ll mmmm 1111 h 0 nnnnn ddddd   (BFMLALB|BFMLALT)  <Vd.4s>, <Vn.8h>, <Vm.h[hl]>   element BF16
0Q 0 01111 00 ll mmmm 0L01 h 0 nnnnn ddddd   (FMLA|FMLS)  <Vd.4h/8h>, <Vn.4h/8h>, <Vm.h[hl]>   element FP16
0Q 0 01111 10 l mmmmm 0L01 h 0 nnnnn ddddd   (FMLA|FMLS)  <Vd.2s/4s>, <Vn.2s/4s>, <Vm.s[hl]>   element
01 0 01111 11 0 mmmmm 0L01 h 0 nnnnn ddddd   (FMLA|FMLS)  <Vd.2d>, <Vn.2d>, <Vm.d[h]>      element
0Q L 01111 00 ll mmmm 1001 h 0 nnnnn ddddd   (FMUL|FMULX)  <Vd.4h/8h>, <Vn.4h/8h>, <Vm.h[hl]>   element FP16
0Q L 01111 10 l mmmmm 1001 h 0 nnnnn ddddd   (FMUL|FMULX)  <Vd.2s/4s>, <Vn.2s/4s>, <Vm.s[hl]>   element
01 L 01111 11 0 mmmmm 1001 h 0 nnnnn ddddd   (FMUL|FMULX)  <Vd.2d>, <Vn.2d>, <Vm.d[h]>     element
0Q 0 01111 10 ll mmmm 0L00 h 0 nnnnn ddddd   (FMLAL|FMLSL)  <Vd.2s/4s>, <Vn.2h/4h>, <Vm.h[hl]>   element (|minus) FHM
0Q 1 01111 10 ll mmmm 1L00 h 0 nnnnn ddddd   (FMLAL2|FMLSL2)  <Vd.2s/4s>, <Vn.2h/4h>, <Vm.h[hl]>   element (|minus) upper FHM
0Q 1 01111 01 l mmmmm 0 rr 1 h 0 nnnnn ddddd  FCMLA  <Vd.4h/8h>, <Vn.4h/8h>, <Vm.h[hl]>, <#r*90>   element hQ!=2 FCMA
01 1 01111 10 0 mmmmm 0 rr 1 h 0 nnnnn ddddd  FCMLA  <Vd.4s>, <Vn.4s>, <Vm.s[h]>, <#r*90>   element FCMA

# Immediates
0Q 0 0111100000 iii 0 ss 0 01 iiiii ddddd    MOVI   <Vd.2s/4s>, <#i><lsl8>       immediate
0Q 0 0111100000 iii 0 ss 1 01 iiiii ddddd    ORR    <Vd.2s/4s>, <#i><lsl8>       immediate
0Q 0 0111100000 iii 10 s 0 01 iiiii ddddd    MOVI   <Vd.4h/8h>, <#i><lsl8>       immediate
0Q 0 0111100000 iii 10 s 1 01 iiiii ddddd    ORR    <Vd.4h/8h>, <#i><lsl8>       immediate
0Q 0 0111100000 iii 110 s 01 iiiii ddddd     MOVI   <Vd.2s/4s>, <#i>, <msl>      immediate
0Q 0 0111100000 iii 1110 01 iiiii ddddd      MOVI   <Vd.8b/16b>, <#i>            immediate
0Q 0 0111100000 iii 1111 01 iiiii ddddd      FMOV   <Vd.2s/4s>, <float>          immediate
0Q 0 0111100000 iii 1111 11 iiiii ddddd      FMOV   <Vd.4h/8h>, <float>          immediate FP16
0Q 1 0111100000 iii 0 ss 0 01 iiiii ddddd    MVNI   <Vd.2s/4s>, <#i><lsl8>       immediate
0Q 1 0111100000 iii 0 ss 1 01 iiiii ddddd    BIC    <Vd.2s/4s>, <#i><lsl8>       immediate
0Q 1 0111100000 iii 10 s 0 01 iiiii ddddd    MVNI   <Vd.4h/8h>, <#i><lsl8>       immediate
0Q 1 0111100000 iii 10 s 1 01 iiiii ddddd    BIC    <Vd.4h/8h>, <#i><lsl8>       immediate
0Q 1 0111100000 iii 110 s 01 iiiii ddddd     MVNI   <Vd.2s/4s>, <#i>, <msl>      immediate
00 1 0111100000 iii 1110 01 iiiii ddddd      MOVI   <Dd>, <bytes>                immediate
01 1 0111100000 iii 1110 01 iiiii ddddd      MOVI   <Vd.2d>, <bytes>             immediate
01 1 0111100000 iii 1111 01 iiiii ddddd      FMOV   <Vd.2d>, <float>             immediate

# Scalar, three registers
01 L 11110 zz 1 mmmmm 00001 1 nnnnn ddddd    (SQADD|UQADD)    <Yd>, <Yn>, <Ym>   scalar
01 L 11110 zz 1 mmmmm 00101 1 nnnnn ddddd    (SQSUB|UQSUB)    <Yd>, <Yn>, <Ym>   scalar
01 L 11110 11 1 mmmmm 00110 1 nnnnn ddddd    (CMGT|CMHI)      <Dd>, <Dn>, <Dm>   scalar
01 L 11110 11 1 mmmmm 00111 1 nnnnn ddddd    (CMGE|CMHS)      <Dd>, <Dn>, <Dm>   scalar
01 L 11110 11 1 mmmmm 01000 1 nnnnn ddddd    (SSHL|USHL)      <Dd>, <Dn>, <Dm>   scalar
01 L 11110 zz 1 mmmmm 01001 1 nnnnn ddddd    (SQSHL|UQSHL)    <Yd>, <Yn>, <Ym>   scalar
01 L 11110 11 1 mmmmm 01010 1 nnnnn ddddd    (SRSHL|URSHL)    <Dd>, <Dn>, <Dm>   scalar
01 L 11110 zz 1 mmmmm 01011 1 nnnnn ddddd    (SQRSHL|UQRSHL)  <Yd>, <Yn>, <Ym>   scalar
01 L 11110 11 1 mmmmm 10000 1 nnnnn ddddd    (ADD|SUB)        <Dd>, <Dn>, <Dm>   scalar
01 L 11110 11 1 mmmmm 10001 1 nnnnn ddddd    (CMTST|CMEQ)     <Dd>, <Dn>, <Dm>   scalar
01 L 11110 zz 1 mmmmm 10110 1 nnnnn ddddd    (SQDMULH|SQRDMULH)  <Yd>, <Yn>, <Ym>   scalar z!=0 z!=3
01 1 11110 zz 0 mmmmm 10000 1 nnnnn ddddd    SQRDMLAH         <Yd>, <Yn>, <Ym>   scalar z!=0 z!=3 RDM
01 1 11110 zz 0 mmmmm 10001 1 nnnnn ddddd    SQRDMLSH         <Yd>, <Yn>, <Ym>   scalar z!=0 z!=3 RDM
01 0 11110 zz 1 mmmmm 1001 00 nnnnn ddddd    SQDMLAL          <Y+d>, <Yn>, <Ym>  scalar z!=0 z!=3
01 0 11110 zz 1 mmmmm 1011 00 nnnnn ddddd    SQDMLSL          <Y+d>, <Yn>, <Ym>  scalar z!=0 z!=3
01 0 11110 zz 1 mmmmm 1101 00 nnnnn ddddd    SQDMULL          <Y+d>, <Yn>, <Ym>  scalar z!=0 z!=3

# Scalar, two registers
01 L 11110 zz 10000 00011 10 nnnnn ddddd     (SUQADD|USQADD)  <Yd>, <Yn>         scalar
01 L 11110 zz 10000 00111 10 nnnnn ddddd     (SQABS|SQNEG)    <Yd>, <Yn>         scalar
01 L 11110 11 10000 01000 10 nnnnn ddddd     (CMGT|CMGE)      <Dd>, <Dn>, #0     scalar
01 L 11110 11 10000 01001 10 nnnnn ddddd     (CMEQ|CMLE)      <Dd>, <Dn>, #0     scalar
01 0 11110 11 10000 01010 10 nnnnn ddddd     CMLT             <Dd>, <Dn>, #0     scalar
01 L 11110 11 10000 01011 10 nnnnn ddddd     (ABS|NEG)        <Dd>, <Dn>         scalar
01 L 11110 zz 10000 10100 10 nnnnn ddddd     (SQXTN|UQXTN)    <Yd>, <Y+n>        scalar z!=3
01 1 11110 zz 10000 10010 10 nnnnn ddddd     SQXTUN           <Yd>, <Y+n>        scalar z!=3
01 1 11110 01 10000 10110 10 nnnnn ddddd     FCVTXN           <Sd>, <Dn>         scalar
01 0 11110 11 11000 11011 10 nnnnn ddddd     ADDP             <Dd>, <Vn.2d>      scalar
01 0 11110 L0 11000 01100 10 nnnnn ddddd     (FMAXNMP|FMINNMP)  <Hd>, <Vn.2h>    scalar FP16
01 0 11110 00 11000 01101 10 nnnnn ddddd     FADDP            <Hd>, <Vn.2h>      scalar FP16
01 0 11110 L0 11000 01111 10 nnnnn ddddd     (FMAXP|FMINP)    <Hd>, <Vn.2h>      scalar FP16
01 1 11110 L0 11000 01100 10 nnnnn ddddd     (FMAXNMP|FMINNMP)  <Sd>, <Vn.2s>    scalar
01 1 11110 L1 11000 01100 10 nnnnn ddddd     (FMAXNMP|FMINNMP)  <Dd>, <Vn.2d>    scalar
01 1 11110 00 11000 01101 10 nnnnn ddddd     FADDP            <Sd>, <Vn.2s>      scalar
01 1 11110 01 11000 01101 10 nnnnn ddddd     FADDP            <Dd>, <Vn.2d>      scalar
01 1 11110 L0 11000 01111 10 nnnnn ddddd     (FMAXP|FMINP)    <Sd>, <Vn.2s>      scalar
01 1 11110 L1 11000 01111 10 nnnnn ddddd     (FMAXP|FMINP)    <Dd>, <Vn.2d>      scalar

# Scalar by element
01 0 11111 01 ll mmmm 0L11 h 0 nnnnn ddddd   (SQDMLAL|SQDMLSL)  <Sd>, <Hn>, <Vm.h[hl]>   scalar
01 0 11111 10 l mmmmm 0L11 h 0 nnnnn ddddd   (SQDMLAL|SQDMLSL)  <Dd>, <Sn>, <Vm.s[hl]>   scalar
01 0 11111 01 ll mmmm 1011 h 0 nnnnn ddddd   SQDMULL  <Sd>, <Hn>, <Vm.h[hl]>   scalar
01 0 11111 10 l mmmmm 1011 h 0 nnnnn ddddd   SQDMULL  <Dd>, <Sn>, <Vm.s[hl]>   scalar
01 0 11111 01 ll mmmm 110L h 0 nnnnn ddddd   (SQDMULH|SQRDMULH)  <Hd>, <Hn>, <Vm.h[hl]>   scalar
01 0 11111 10 l mmmmm 110L h 0 nnnnn ddddd   (SQDMULH|SQRDMULH)  <Sd>, <Sn>, <Vm.s[hl]>   scalar
01 1 11111 01 ll mmmm 11L1 h 0 nnnnn ddddd   (SQRDMLAH|SQRDMLSH)  <Hd>, <Hn>, <Vm.h[hl]>   scalar RDM
01 1 11111 10 l mmmmm 11L1 h 0 nnnnn ddddd   (SQRDMLAH|SQRDMLSH)  <Sd>, <Sn>, <Vm.s[hl]>   scalar RDM
01 0 11111 00 ll mmmm 0L01 h 0 nnnnn ddddd   (FMLA|FMLS)  <Hd>, <Hn>, <Vm.h[hl]>   scalar FP16
01 0 11111 10 l mmmmm 0L01 h 0 nnnnn ddddd   (FMLA|FMLS)  <Sd>, <Sn>, <Vm.s[hl]>   scalar
01 0 11111 11 0 mmmmm 0L01 h 0 nnnnn ddddd   (FMLA|FMLS)  <Dd>, <Dn>, <Vm.d[h]>    scalar
01 L 11111 00 ll mmmm 1001 h 0 nnnnn ddddd   (FMUL|FMULX)  <Hd>, <Hn>, <Vm.h[hl]>   scalar FP16
01 L 11111 10 l mmmmm 1001 h 0 nnnnn ddddd   (FMUL|FMULX)  <Sd>, <Sn>, <Vm.s[hl]>   scalar
01 L 11111 11 0 mmmmm 1001 h 0 nnnnn ddddd   (FMUL|FMULX)  <Dd>, <Dn>, <Vm.d[h]>    scalar
`

/** Aliases: see `a64IntegerAliases`. */
export const a64VectorAliases: string = `
01011110000 iiii1 000001 nnnnn ddddd         MOV          <Bd>, <Vn.b[i]>
01011110000 iii10 000001 nnnnn ddddd         MOV          <Hd>, <Vn.h[i]>
01011110000 ii100 000001 nnnnn ddddd         MOV          <Sd>, <Vn.s[i]>
01011110000 i1000 000001 nnnnn ddddd         MOV          <Dd>, <Vn.d[i]>
00 001110000 ii100 001111 nnnnn ddddd        MOV          <Wd>, <Vn.s[i]>
01 001110000 i1000 001111 nnnnn ddddd        MOV          <Xd>, <Vn.d[i]>
01 001110000 iiii1 000111 nnnnn ddddd        MOV          <Vd.b[i]>, <Wn>
01 001110000 iii10 000111 nnnnn ddddd        MOV          <Vd.h[i]>, <Wn>
01 001110000 ii100 000111 nnnnn ddddd        MOV          <Vd.s[i]>, <Wn>
01 001110000 i1000 000111 nnnnn ddddd        MOV          <Vd.d[i]>, <Xn>
01 101110000 iiii1 0 jjjj 1 nnnnn ddddd      MOV          <Vd.b[i]>, <Vn.b[j]>
01 101110000 iii10 0 jjj- 1 nnnnn ddddd      MOV          <Vd.h[i]>, <Vn.h[j]>
01 101110000 ii100 0 jj-- 1 nnnnn ddddd      MOV          <Vd.s[i]>, <Vn.s[j]>
01 101110000 i1000 0 j--- 1 nnnnn ddddd      MOV          <Vd.d[i]>, <Vn.d[j]>
0Q 0 01110 10 1 mmmmm 00011 1 nnnnn ddddd    MOV          <Vd.8b/16b>, <Vn.8b/16b>   n=m
0Q 1 01110 00 10000 00101 10 nnnnn ddddd     MVN          <Vd.8b/16b>, <Vn.8b/16b>
0Q L 011110 0001 000 10100 1 nnnnn ddddd     (SXTL<2>|UXTL<2>)  <Vd.8h>, <Vn.8b/16b>
0Q L 011110 0010 000 10100 1 nnnnn ddddd     (SXTL<2>|UXTL<2>)  <Vd.4s>, <Vn.4h/8h>
0Q L 011110 0100 000 10100 1 nnnnn ddddd     (SXTL<2>|UXTL<2>)  <Vd.2d>, <Vn.2s/4s>
`
