/**
 * Keys of the forms that are inlined in the interpreter's main function; see `formKey`.
 *
 * Chosen by counting what Debian's kernel and a static busybox execute (`X86Engine.executionCounts`) and by keeping the main
 * function under the size that V8 optimises quickly (engine.md: 40 KB). A form that is not here runs as a function of its own,
 * through the table.
 */
function* hotForms(): Generator<string> {
  for (const n of [4, 8]) {
    const [reg, imm, read, write, modify] = [`reg${n}`, `imm${n}`, `mem${n}r`, `mem${n}w`, `mem${n}rw`]
    yield* [`MOV.${n} ${reg} ${reg}`, `MOV.${n} ${reg} ${read}`, `MOV.${n} ${write} ${reg}`]
    yield* [`MOV.${n} ${reg} ${imm}`, `MOV.${n} ${write} ${imm}`]
    for (const name of ['ADD', 'SUB', 'AND', 'OR', 'XOR', 'CMP']) {
      yield* [`${name}.${n} ${reg} ${reg}`, `${name}.${n} ${reg} ${imm}`, `${name}.${n} ${reg} ${read}`]
    }
    yield* [`CMP.${n} ${read} ${reg}`, `CMP.${n} ${read} ${imm}`]
    yield* [`TEST.${n} ${reg} ${reg}`, `TEST.${n} ${reg} ${imm}`, `LEA.${n} ${reg} mem0n`]
    yield* [`ADD.${n} ${modify} ${reg}`, `ADD.${n} ${modify} ${imm}`]
    yield* [`SHL.${n} ${reg} imm1`, `SHR.${n} ${reg} imm1`, `SAR.${n} ${reg} imm1`]
    yield* [`INC.${n} ${reg}`, `DEC.${n} ${reg}`, `NEG.${n} ${reg}`, `NOT.${n} ${reg}`, `IMUL.${n} ${reg} ${reg}`]
    for (const condition of ['E', 'NE', 'B', 'AE']) yield `CMOV${condition}.${n} ${reg} ${reg}`
  }
  yield* ['INC.4 mem4rw', 'DEC.4 mem4rw', 'MOVSXD.8 reg8 reg4', 'MOVSXD.8 reg8 mem4r', 'TEST.4 mem4r imm4']
  yield* ['MOVZX.4 reg4 reg1', 'MOVZX.4 reg4 mem1r', 'MOVZX.4 reg4 reg2', 'MOVZX.4 reg4 mem2r', 'MOVSX.4 reg4 reg1']
  yield* ['MOV.1 reg1 mem1r', 'MOV.1 mem1w reg1', 'MOV.1 mem1w imm1', 'MOV.1 reg1 reg1', 'MOV.2 mem2w reg2']
  yield* ['CMP.1 reg1 imm1', 'CMP.1 mem1r imm1', 'CMP.1 reg1 mem1r', 'CMP.1 reg1 reg1', 'CMP.1 mem1r reg1']
  yield* ['TEST.1 reg1 reg1', 'TEST.1 reg1 imm1', 'TEST.1 mem1r imm1', 'SETE.1 reg1', 'SETNE.1 reg1', 'SETB.1 reg1']
  // Long arithmetic: a kernel that checks signatures spends a tenth of its boot in it.
  yield* ['ADC.8 reg8 reg8', 'ADC.8 reg8 imm8', 'SBB.4 reg4 reg4', 'ROL.4 reg4 imm1']
  yield* [
    'PUSH.8 reg8 long',
    'POP.8 reg8 long',
    'RET.8 long',
    'CALL.8 rel8 long',
    'CALL.8 relp8 long',
    'CALL.8 relf8 long',
  ]
  yield* [
    'JMP.8 rel8 long',
    'JMP.8 relp8 long',
    'JMP.8 relf8 long',
    'NOP.2',
    'NOP.4',
    'NOP.2 mem2n',
    'NOP.4 mem4n',
    'CDQE.8',
  ]
  yield* [
    'PUSH.4 reg4',
    'POP.4 reg4',
    'RET.4',
    'CALL.4 rel4',
    'CALL.4 relp4',
    'CALL.4 relf4',
    'JMP.4 relp4',
    'JMP.4 relf4',
  ]
  // Half of what compilers, interpreters and their libraries execute beside these.
  yield* [
    'CMP.2 reg2 imm2',
    'CMP.2 mem2r imm2',
    'OR.1 reg1 reg1',
    'OR.1 reg1 imm1',
    'AND.1 reg1 imm1',
    'BT.8 reg8 reg8',
  ]
  yield* ['SHL.8 reg8 reg1', 'SHR.8 reg8 reg1', 'SAR.8 reg8 reg1', 'SHL.4 reg4 reg1', 'SHR.4 reg4 reg1']
  yield* ['JMP.8 mem8r long', 'JMP.8 reg8 long', 'CALL.8 mem8r long', 'CALL.8 reg8 long']
  for (const name of ['MOVUPS', 'MOVAPS']) yield* [`${name}.16 xmm16 mem16r`, `${name}.16 mem16w xmm16`]
  for (const condition of ['B', 'AE', 'E', 'NE', 'BE', 'A', 'S', 'NS', 'L', 'GE', 'LE', 'G']) {
    yield* [`J${condition}.4 relp4`, `J${condition}.4 relf4`]
  }
  for (const condition of ['O', 'NO', 'B', 'AE', 'E', 'NE', 'BE', 'A', 'S', 'NS', 'L', 'GE', 'LE', 'G']) {
    yield* [`J${condition}.8 relp8 long`, `J${condition}.8 relf8 long`, `J${condition}.8 rel8 long`]
  }
}

export const HOT_FORMS: ReadonlySet<string> = new Set(hotForms())
