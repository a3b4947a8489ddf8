/**
 * T32: every instruction of two halfwords that accesses memory. See `row.ts` for the language; the first halfword is in the
 * upper half.
 *
 * Source: Arm ARM (DDI 0487), part F, "T32 and A32 Instruction Set Encodings", "T32 instruction set encoding".
 */
export const t32Rows: string = `
# Prefetch stands where a load's register would be PC
1111 1000 1001 nnnn 1111 iiiiiiiiiiii           PLD      <address>       prefetch imm=u base
1111 1000 1011 nnnn 1111 iiiiiiiiiiii           PLDW     <address>       prefetch imm=u base
1111 1001 1001 nnnn 1111 iiiiiiiiiiii           PLI      <address>       prefetch imm=u base
1111 1000 0001 nnnn 1111 1100 iiiiiiii          PLD      <address>       prefetch imm=u minus base
1111 1000 0011 nnnn 1111 1100 iiiiiiii          PLDW     <address>       prefetch imm=u minus base
1111 1001 0001 nnnn 1111 1100 iiiiiiii          PLI      <address>       prefetch imm=u minus base
1111 1000 0001 nnnn 1111 000000 ii mmmm         PLD      <address>       prefetch shifted base
1111 1000 0011 nnnn 1111 000000 ii mmmm         PLDW     <address>       prefetch shifted base
1111 1001 0001 nnnn 1111 000000 ii mmmm         PLI      <address>       prefetch shifted base
1111 1000 U0-1 1111 1111 iiiiiiiiiiii           PLD      <literal>       prefetch imm=u literal
1111 1001 U001 1111 1111 iiiiiiiiiiii           PLI      <literal>       prefetch imm=u literal

# Literal
1111 1000 U001 1111 tttt iiiiiiiiiiii           LDRB     <Rt>, <literal>  load.1 imm=u literal
1111 1000 U011 1111 tttt iiiiiiiiiiii           LDRH     <Rt>, <literal>  load.2 imm=u literal
1111 1000 U101 1111 tttt iiiiiiiiiiii           LDR      <Rt>, <literal>  load.4 imm=u literal
1111 1001 U001 1111 tttt iiiiiiiiiiii           LDRSB    <Rt>, <literal>  load.1 sx imm=u literal
1111 1001 U011 1111 tttt iiiiiiiiiiii           LDRSH    <Rt>, <literal>  load.2 sx imm=u literal notpc

# One register
1111 1000 100 L nnnn tttt iiiiiiiiiiii          (STR|LDR)B  <Rt>, <address>  (store|load).1 imm=u base
1111 1000 101 L nnnn tttt iiiiiiiiiiii          (STR|LDR)H  <Rt>, <address>  (store|load).2 imm=u base
1111 1000 110 L nnnn tttt iiiiiiiiiiii          (STR|LDR)   <Rt>, <address>  (store|load).4 imm=u base
1111 1001 1001 nnnn tttt iiiiiiiiiiii           LDRSB    <Rt>, <address>  load.1 sx imm=u base
1111 1001 1011 nnnn tttt iiiiiiiiiiii           LDRSH    <Rt>, <address>  load.2 sx imm=u base notpc
1111 1000 000 L nnnn tttt 1110 iiiiiiii         (STR|LDR)BT  <Rt>, <address>  (store|load).1 imm=u unprivileged base
1111 1000 001 L nnnn tttt 1110 iiiiiiii         (STR|LDR)HT  <Rt>, <address>  (store|load).2 imm=u unprivileged base
1111 1000 010 L nnnn tttt 1110 iiiiiiii         (STR|LDR)T   <Rt>, <address>  (store|load).4 imm=u unprivileged base
1111 1001 0001 nnnn tttt 1110 iiiiiiii          LDRSBT   <Rt>, <address>  load.1 sx imm=u unprivileged base
1111 1001 0011 nnnn tttt 1110 iiiiiiii          LDRSHT   <Rt>, <address>  load.2 sx imm=u unprivileged base
1111 1000 000 L nnnn tttt 1 PUW iiiiiiii        (STR|LDR)B  <Rt>, <address>  (store|load).1 imm=u base
1111 1000 001 L nnnn tttt 1 PUW iiiiiiii        (STR|LDR)H  <Rt>, <address>  (store|load).2 imm=u base
1111 1000 010 L nnnn tttt 1 PUW iiiiiiii        (STR|LDR)   <Rt>, <address>  (store|load).4 imm=u base
1111 1001 0001 nnnn tttt 1 PUW iiiiiiii         LDRSB    <Rt>, <address>  load.1 sx imm=u base
1111 1001 0011 nnnn tttt 1 PUW iiiiiiii         LDRSH    <Rt>, <address>  load.2 sx imm=u base notpc
1111 1000 000 L nnnn tttt 000000 ii mmmm        (STR|LDR)B  <Rt>, <address>  (store|load).1 shifted base
1111 1000 001 L nnnn tttt 000000 ii mmmm        (STR|LDR)H  <Rt>, <address>  (store|load).2 shifted base
1111 1000 010 L nnnn tttt 000000 ii mmmm        (STR|LDR)   <Rt>, <address>  (store|load).4 shifted base
1111 1001 0001 nnnn tttt 000000 ii mmmm         LDRSB    <Rt>, <address>  load.1 sx shifted base
1111 1001 0011 nnnn tttt 000000 ii mmmm         LDRSH    <Rt>, <address>  load.2 sx shifted base notpc

# Two registers, exclusives, acquire and release, table branches
1110 1000 0100 nnnn tttt ssss iiiiiiii          STREX    <Rs>, <Rt>, <address>        store-exclusive.4 imm=u*4
1110 1000 0101 nnnn tttt 1111 iiiiiiii          LDREX    <Rt>, <address>              load-exclusive.4 imm=u*4
1110 1000 1100 nnnn tttt 1111 0100 ssss         STREXB   <Rs>, <Rt>, [<Rn>]           store-exclusive.1
1110 1000 1100 nnnn tttt 1111 0101 ssss         STREXH   <Rs>, <Rt>, [<Rn>]           store-exclusive.2
1110 1000 1100 nnnn tttt uuuu 0111 ssss         STREXD   <Rs>, <Rt>, <Ru>, [<Rn>]     store-exclusive.4 pair
1110 1000 1100 nnnn tttt 1111 1000 1111         STLB     <Rt>, [<Rn>]                 store.1 release
1110 1000 1100 nnnn tttt 1111 1001 1111         STLH     <Rt>, [<Rn>]                 store.2 release
1110 1000 1100 nnnn tttt 1111 1010 1111         STL      <Rt>, [<Rn>]                 store.4 release
1110 1000 1100 nnnn tttt 1111 1100 ssss         STLEXB   <Rs>, <Rt>, [<Rn>]           store-exclusive.1 release
1110 1000 1100 nnnn tttt 1111 1101 ssss         STLEXH   <Rs>, <Rt>, [<Rn>]           store-exclusive.2 release
1110 1000 1100 nnnn tttt 1111 1110 ssss         STLEX    <Rs>, <Rt>, [<Rn>]           store-exclusive.4 release
1110 1000 1100 nnnn tttt uuuu 1111 ssss         STLEXD   <Rs>, <Rt>, <Ru>, [<Rn>]     store-exclusive.4 pair release
1110 1000 1101 nnnn 1111 0000 0000 mmmm         TBB      [<Rn>, <Rm>]                 table-branch.1
1110 1000 1101 nnnn 1111 0000 0001 mmmm         TBH      [<Rn>, <Rm>, lsl #1]         table-branch.2
1110 1000 1101 nnnn tttt 1111 0100 1111         LDREXB   <Rt>, [<Rn>]                 load-exclusive.1
1110 1000 1101 nnnn tttt 1111 0101 1111         LDREXH   <Rt>, [<Rn>]                 load-exclusive.2
1110 1000 1101 nnnn tttt uuuu 0111 1111         LDREXD   <Rt>, <Ru>, [<Rn>]           load-exclusive.4 pair
1110 1000 1101 nnnn tttt 1111 1000 1111         LDAB     <Rt>, [<Rn>]                 load.1 acquire
1110 1000 1101 nnnn tttt 1111 1001 1111         LDAH     <Rt>, [<Rn>]                 load.2 acquire
1110 1000 1101 nnnn tttt 1111 1010 1111         LDA      <Rt>, [<Rn>]                 load.4 acquire
1110 1000 1101 nnnn tttt 1111 1100 1111         LDAEXB   <Rt>, [<Rn>]                 load-exclusive.1 acquire
1110 1000 1101 nnnn tttt 1111 1101 1111         LDAEXH   <Rt>, [<Rn>]                 load-exclusive.2 acquire
1110 1000 1101 nnnn tttt 1111 1110 1111         LDAEX    <Rt>, [<Rn>]                 load-exclusive.4 acquire
1110 1000 1101 nnnn tttt uuuu 1111 1111         LDAEXD   <Rt>, <Ru>, [<Rn>]           load-exclusive.4 pair acquire
1110 100 PU 1 W L nnnn tttt uuuu iiiiiiii       (STR|LDR)D  <Rt>, <Ru>, <address>     (store|load).4 pair imm=u*4

# Several registers
1110 1000 00W0 1101 1100 0000 000 iiiii         SRSDB    sp<!>, <#i>           save.4 imm=u down
1110 1001 10W0 1101 1100 0000 000 iiiii         SRSIA    sp<!>, <#i>           save.4 imm=u
1110 1000 00W1 nnnn 1100000000000000            RFEDB    <Rn><!>               return.4 down
1110 1001 10W1 nnnn 1100000000000000            RFEIA    <Rn><!>               return.4
1110 1000 10W 0 nnnn 0j0jjjjjjjjjjjjj           STM<mode>  <Rn><!>, <registers>  store.4 multiple base
1110 1001 00W 0 nnnn 0j0jjjjjjjjjjjjj           STMDB      <Rn><!>, <registers>  store.4 multiple down base
1110 1000 10W 1 nnnn jj0jjjjjjjjjjjjj           LDM<mode>  <Rn><!>, <registers>  load.4 multiple base
1110 1001 00W 1 nnnn jj0jjjjjjjjjjjjj           LDMDB      <Rn><!>, <registers>  load.4 multiple down base
`
