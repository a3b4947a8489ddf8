/**
 * A32: every instruction that accesses memory. See `row.ts` for the language.
 *
 * Source: Arm ARM (DDI 0487), part F, "T32 and A32 Instruction Set Encodings", "A32 instruction set encoding".
 */
export const a32Rows: string = `
# Words and bytes
cccc 010 0U 0 1 L nnnn tttt iiiiiiiiiiii        (STR|LDR)T    <Rt>, <address>  (store|load).4 imm=u post unprivileged
cccc 010 0U 1 1 L nnnn tttt iiiiiiiiiiii        (STRB|LDRB)T  <Rt>, <address>  (store|load).1 imm=u post unprivileged
cccc 010 PU 0 W L nnnn tttt iiiiiiiiiiii        (STR|LDR)     <Rt>, <address>  (store|load).4 imm=u
cccc 010 PU 1 W L nnnn tttt iiiiiiiiiiii        (STR|LDR)B    <Rt>, <address>  (store|load).1 imm=u
cccc 011 0U 0 1 L nnnn tttt iiiii kk 0 mmmm     (STR|LDR)T    <Rt>, <address>  (store|load).4 shifted post unprivileged
cccc 011 0U 1 1 L nnnn tttt iiiii kk 0 mmmm     (STRB|LDRB)T  <Rt>, <address>  (store|load).1 shifted post unprivileged
cccc 011 PU 0 W L nnnn tttt iiiii kk 0 mmmm     (STR|LDR)     <Rt>, <address>  (store|load).4 shifted
cccc 011 PU 1 W L nnnn tttt iiiii kk 0 mmmm     (STR|LDR)B    <Rt>, <address>  (store|load).1 shifted

# Halfwords, signed, doublewords
cccc 000 0U 1 1 L nnnn tttt iiii 1011 iiii      (STR|LDR)HT   <Rt>, <address>  (store|load).2 imm=u post unprivileged
cccc 000 0U 1 1 1 nnnn tttt iiii 1101 iiii      LDRSBT        <Rt>, <address>  load.1 sx imm=u post unprivileged
cccc 000 0U 1 1 1 nnnn tttt iiii 1111 iiii      LDRSHT        <Rt>, <address>  load.2 sx imm=u post unprivileged
cccc 000 0U 0 1 L nnnn tttt 0000 1011 mmmm      (STR|LDR)HT   <Rt>, <address>  (store|load).2 post unprivileged
cccc 000 0U 0 1 1 nnnn tttt 0000 1101 mmmm      LDRSBT        <Rt>, <address>  load.1 sx post unprivileged
cccc 000 0U 0 1 1 nnnn tttt 0000 1111 mmmm      LDRSHT        <Rt>, <address>  load.2 sx post unprivileged
cccc 000 PU 1 W L nnnn tttt iiii 1011 iiii      (STR|LDR)H    <Rt>, <address>  (store|load).2 imm=u
cccc 000 PU 1 W 1 nnnn tttt iiii 1101 iiii      LDRSB         <Rt>, <address>  load.1 sx imm=u
cccc 000 PU 1 W 1 nnnn tttt iiii 1111 iiii      LDRSH         <Rt>, <address>  load.2 sx imm=u
cccc 000 PU 1 W 0 nnnn tttt iiii 1101 iiii      LDRD          <Rt>, <Rt1>, <address>  load.4 couple imm=u
cccc 000 PU 1 W 0 nnnn tttt iiii 1111 iiii      STRD          <Rt>, <Rt1>, <address>  store.4 couple imm=u
cccc 000 PU 0 W L nnnn tttt 0000 1011 mmmm      (STR|LDR)H    <Rt>, <address>  (store|load).2
cccc 000 PU 0 W 1 nnnn tttt 0000 1101 mmmm      LDRSB         <Rt>, <address>  load.1 sx
cccc 000 PU 0 W 1 nnnn tttt 0000 1111 mmmm      LDRSH         <Rt>, <address>  load.2 sx
cccc 000 PU 0 W 0 nnnn tttt 0000 1101 mmmm      LDRD          <Rt>, <Rt1>, <address>  load.4 couple
cccc 000 PU 0 W 0 nnnn tttt 0000 1111 mmmm      STRD          <Rt>, <Rt1>, <address>  store.4 couple

# Exclusives, acquire and release
cccc 0001 1000 nnnn ssss 1111 1001 tttt         STREX    <Rs>, <Rt>, [<Rn>]         store-exclusive.4
cccc 0001 1010 nnnn ssss 1111 1001 tttt         STREXD   <Rs>, <Rt>, <Rt1>, [<Rn>]  store-exclusive.4 couple
cccc 0001 1100 nnnn ssss 1111 1001 tttt         STREXB   <Rs>, <Rt>, [<Rn>]         store-exclusive.1
cccc 0001 1110 nnnn ssss 1111 1001 tttt         STREXH   <Rs>, <Rt>, [<Rn>]         store-exclusive.2
cccc 0001 1000 nnnn ssss 1110 1001 tttt         STLEX    <Rs>, <Rt>, [<Rn>]         store-exclusive.4 release
cccc 0001 1010 nnnn ssss 1110 1001 tttt         STLEXD   <Rs>, <Rt>, <Rt1>, [<Rn>]  store-exclusive.4 couple release
cccc 0001 1100 nnnn ssss 1110 1001 tttt         STLEXB   <Rs>, <Rt>, [<Rn>]         store-exclusive.1 release
cccc 0001 1110 nnnn ssss 1110 1001 tttt         STLEXH   <Rs>, <Rt>, [<Rn>]         store-exclusive.2 release
cccc 0001 1001 nnnn tttt 1111 1001 1111         LDREX    <Rt>, [<Rn>]               load-exclusive.4
cccc 0001 1011 nnnn tttt 1111 1001 1111         LDREXD   <Rt>, <Rt1>, [<Rn>]        load-exclusive.4 couple
cccc 0001 1101 nnnn tttt 1111 1001 1111         LDREXB   <Rt>, [<Rn>]               load-exclusive.1
cccc 0001 1111 nnnn tttt 1111 1001 1111         LDREXH   <Rt>, [<Rn>]               load-exclusive.2
cccc 0001 1001 nnnn tttt 1110 1001 1111         LDAEX    <Rt>, [<Rn>]               load-exclusive.4 acquire
cccc 0001 1011 nnnn tttt 1110 1001 1111         LDAEXD   <Rt>, <Rt1>, [<Rn>]        load-exclusive.4 couple acquire
cccc 0001 1101 nnnn tttt 1110 1001 1111         LDAEXB   <Rt>, [<Rn>]               load-exclusive.1 acquire
cccc 0001 1111 nnnn tttt 1110 1001 1111         LDAEXH   <Rt>, [<Rn>]               load-exclusive.2 acquire
cccc 0001 1000 nnnn 1111 1100 1001 tttt         STL      <Rt>, [<Rn>]               store.4 release
cccc 0001 1100 nnnn 1111 1100 1001 tttt         STLB     <Rt>, [<Rn>]               store.1 release
cccc 0001 1110 nnnn 1111 1100 1001 tttt         STLH     <Rt>, [<Rn>]               store.2 release
cccc 0001 1001 nnnn tttt 1100 1001 1111         LDA      <Rt>, [<Rn>]               load.4 acquire
cccc 0001 1101 nnnn tttt 1100 1001 1111         LDAB     <Rt>, [<Rn>]               load.1 acquire
cccc 0001 1111 nnnn tttt 1100 1001 1111         LDAH     <Rt>, [<Rn>]               load.2 acquire
cccc 0001 0000 nnnn tttt 0000 1001 ssss         SWP      <Rt>, <Rs>, [<Rn>]         atomic.swap bytes=4 acquire release
cccc 0001 0100 nnnn tttt 0000 1001 ssss         SWPB     <Rt>, <Rs>, [<Rn>]         atomic.swap bytes=1 acquire release

# Several registers
cccc 100 PU 0 W L nnnn jjjjjjjjjjjjjjjj         (STM|LDM)<mode>  <Rn><!>, <registers>    (store|load).4 multiple
cccc 100 PU 1 W 0 nnnn jjjjjjjjjjjjjjjj         STM<mode>        <Rn><!>, <registers> ^  store.4 multiple user
cccc 100 PU 1 W 1 nnnn 0jjjjjjjjjjjjjjj         LDM<mode>        <Rn><!>, <registers> ^  load.4 multiple user
cccc 100 PU 1 W 1 nnnn 1jjjjjjjjjjjjjjj         LDM<mode>        <Rn><!>, <registers> ^  load.4 multiple return
1111 100 PU 0 W 1 nnnn 0000101000000000       RFE<mode>        <Rn><!>                return.4
1111 100 PU 1 W 0 1101 0000 0101 000 iiiii      SRS<mode>        sp<!>, <#i>            save.4 imm=u

# Prefetch
1111 0101 U 101 nnnn 1111 iiiiiiiiiiii          PLD   <address>  prefetch imm=u
1111 0101 U 001 nnnn 1111 iiiiiiiiiiii          PLDW  <address>  prefetch imm=u
1111 0100 U 101 nnnn 1111 iiiiiiiiiiii          PLI   <address>  prefetch imm=u
1111 0111 U 101 nnnn 1111 iiiii kk 0 mmmm       PLD   <address>  prefetch shifted
1111 0111 U 001 nnnn 1111 iiiii kk 0 mmmm       PLDW  <address>  prefetch shifted
1111 0110 U 101 nnnn 1111 iiiii kk 0 mmmm       PLI   <address>  prefetch shifted

`

/** Rows that T32 has too, under 1110 for the condition. */
export const coprocessorRows: string = `
cccc 1101 U t 0 L nnnn tttt 1001 iiiiiiii       (VSTR|VLDR)   <Ht>, <address>             (store|load).2 imm=u*2 FP16
cccc 1101 U t 0 L nnnn tttt 1010 iiiiiiii       (VSTR|VLDR)   <St>, <address>             (store|load).4 imm=u*4
cccc 1101 U t 0 L nnnn tttt 1011 iiiiiiii       (VSTR|VLDR)   <Dt>, <address>             (store|load).8 imm=u*4
cccc 110 01 t W L nnnn tttt 1010 iiiiiiii       (VSTM|VLDM)IA  <Rn><!>, <vectors>          (store|load).4 vectors
cccc 110 10 t 1 L nnnn tttt 1010 iiiiiiii       (VSTM|VLDM)DB  <Rn><!>, <vectors>          (store|load).4 vectors down
cccc 110 01 t W L nnnn tttt 1011 iiiiiii 0      (VSTM|VLDM)IA  <Rn><!>, <vectors>          (store|load).8 vectors
cccc 110 10 t 1 L nnnn tttt 1011 iiiiiii 0      (VSTM|VLDM)DB  <Rn><!>, <vectors>          (store|load).8 vectors down
cccc 110 01 t W L nnnn tttt 1011 iiiiiii 1      (FSTM|FLDM)IAX  <Rn><!>, <vectors>         (store|load).8 vectors extra
cccc 110 10 t 1 L nnnn tttt 1011 iiiiiii 1      (FSTM|FLDM)DBX  <Rn><!>, <vectors>         (store|load).8 vectors down extra
cccc 110 PU 0 W L nnnn 0101 1110 iiiiiiii       (STC|LDC)     p14, c5, <address>          other imm=u*4
cccc 1110 0000 0111 tttt 1111 001 1 0110        MCR           p15, #0, <Rt>, c7, c6, #1   cache
cccc 1110 0000 0111 tttt 1111 001 1 1010        MCR           p15, #0, <Rt>, c7, c10, #1  cache
cccc 1110 0000 0111 tttt 1111 001 1 1011        MCR           p15, #0, <Rt>, c7, c11, #1  cache
cccc 1110 0000 0111 tttt 1111 001 1 1110        MCR           p15, #0, <Rt>, c7, c14, #1  cache
cccc 1110 0000 0111 tttt 1111 001 1 0101        MCR           p15, #0, <Rt>, c7, c5, #1   cache
`

/** The rows below the leading bits of A32's F4 and T32's F9 SIMD structure instructions. */
export const structureRows: string = `
0 t L 0 nnnn tttt 0000 zz aa mmmm    V(ST|LD)4   <list>, <base>    (store|load) structure.4
0 t L 0 nnnn tttt 0001 zz aa mmmm    V(ST|LD)4   <list>, <base>    (store|load) structure.4 spaced
0 t L 0 nnnn tttt 0010 zz aa mmmm    V(ST|LD)1   <list>, <base>    (store|load) sequence.4
0 t L 0 nnnn tttt 0011 zz aa mmmm    V(ST|LD)2   <list>, <base>    (store|load) structure.2 doubled
0 t L 0 nnnn tttt 0100 zz aa mmmm    V(ST|LD)3   <list>, <base>    (store|load) structure.3
0 t L 0 nnnn tttt 0101 zz aa mmmm    V(ST|LD)3   <list>, <base>    (store|load) structure.3 spaced
0 t L 0 nnnn tttt 0110 zz aa mmmm    V(ST|LD)1   <list>, <base>    (store|load) sequence.3
0 t L 0 nnnn tttt 0111 zz aa mmmm    V(ST|LD)1   <list>, <base>    (store|load) sequence.1
0 t L 0 nnnn tttt 1000 zz aa mmmm    V(ST|LD)2   <list>, <base>    (store|load) structure.2
0 t L 0 nnnn tttt 1001 zz aa mmmm    V(ST|LD)2   <list>, <base>    (store|load) structure.2 spaced
0 t L 0 nnnn tttt 1010 zz aa mmmm    V(ST|LD)1   <list>, <base>    (store|load) sequence.2
1 t L 0 nnnn tttt 00 NN llll mmmm    V(ST|LD)(1|2|3|4)  <lanes>, <base>  (store|load).1 structure.(1|2|3|4) lane
1 t L 0 nnnn tttt 01 NN llll mmmm    V(ST|LD)(1|2|3|4)  <lanes>, <base>  (store|load).2 structure.(1|2|3|4) lane
1 t L 0 nnnn tttt 10 NN llll mmmm    V(ST|LD)(1|2|3|4)  <lanes>, <base>  (store|load).4 structure.(1|2|3|4) lane
1 t 1 0 nnnn tttt 11 NN zz w a mmmm  VLD(1|2|3|4)       <list>, <base>   load replicate.(1|2|3|4)
`
