/**
 * T16: every instruction of one halfword that accesses memory. See `row.ts` for the language.
 *
 * Source: Arm ARM (DDI 0487), part F, "T32 and A32 Instruction Set Encodings", "16-bit T32 instruction encoding".
 */
export const t16Rows: string = `
01001 ttt iiiiiiii       LDR    <Rt>, <literal>   load.4 imm=u*4 literal
0101 000 mmm nnn ttt     STR    <Rt>, [<Rn>, <Rm>]  store.4
0101 001 mmm nnn ttt     STRH   <Rt>, [<Rn>, <Rm>]  store.2
0101 010 mmm nnn ttt     STRB   <Rt>, [<Rn>, <Rm>]  store.1
0101 011 mmm nnn ttt     LDRSB  <Rt>, [<Rn>, <Rm>]  load.1 sx
0101 100 mmm nnn ttt     LDR    <Rt>, [<Rn>, <Rm>]  load.4
0101 101 mmm nnn ttt     LDRH   <Rt>, [<Rn>, <Rm>]  load.2
0101 110 mmm nnn ttt     LDRB   <Rt>, [<Rn>, <Rm>]  load.1
0101 111 mmm nnn ttt     LDRSH  <Rt>, [<Rn>, <Rm>]  load.2 sx
0110 L iiiii nnn ttt     (STR|LDR)   <Rt>, <address>  (store|load).4 imm=u*4
0111 L iiiii nnn ttt     (STR|LDR)B  <Rt>, <address>  (store|load).1 imm=u
1000 L iiiii nnn ttt     (STR|LDR)H  <Rt>, <address>  (store|load).2 imm=u*2
1001 L ttt iiiiiiii      (STR|LDR)   <Rt>, <address>  (store|load).4 imm=u*4 stack
1011 0100 jjjjjjjj       PUSH   <registers>       store.4 multiple stack down
1011 0101 jjjjjjjj       PUSH   <registers>       store.4 multiple stack link down
1011 1100 jjjjjjjj       POP    <registers>       load.4 multiple stack
1011 1101 jjjjjjjj       POP    <registers>       load.4 multiple stack link
1100 0 nnn jjjjjjjj      STM    <Rn>!, <registers>  store.4 multiple up
1100 1 nnn jjjjjjjj      LDM    <Rn><!>, <registers>  load.4 multiple up
`
