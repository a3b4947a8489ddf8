/**
 * Assembles 100,000 instructions with labels, in one run with iced-x86: `npm run -s bench -- assembler`.
 *
 * Ours chooses the form from mnemonic and operands; iced-x86's `Instruction.create…` is told its code, and `BlockEncoder`
 * relaxes the branches. Both give the same bytes. The two take turns; the best of the rounds counts.
 */
import { performance } from 'node:perf_hooks'
import { BlockEncoder, BlockEncoderOptions, Code, Instruction, MemoryOperand, Register } from 'iced-x86'
import { Assembler, dword, eax, qword, rax, rbx, rcx, rdx, xmm1, xmm2, xmm3 } from '@retrap/x86-assembler'

const GROUPS = 12_500
/** Instructions of one group. */
const GROUP = 8
const ROUNDS = 5
const ADDRESS = 0x40_0000

function ours(): Uint8Array {
  const asm = new Assembler({ address: ADDRESS })
  for (let group = 0; group < GROUPS; group++) {
    const skip = asm.label()
    asm.mov(rax, qword(rbx, { index: rcx, scale: 8, disp: 16 }))
    asm.add(rax, rbx)
    asm.cmp(dword(rbx), group)
    asm.jz(skip)
    asm.mov(eax, 5)
    asm.vaddps(xmm1, xmm2, xmm3)
    asm.imul(rdx, rax, 1000)
    asm.bind(skip).push(rdx)
  }
  return asm.assemble().bytes
}

/** `BlockEncoder` finds targets by address, so each instruction gets one that serves as its label. */
function iced(): Uint8Array {
  const encoder = new BlockEncoder(64, BlockEncoderOptions.None)
  let id = 1n
  const add = (instruction: Instruction): void => {
    instruction.ip = id++
    encoder.add(instruction)
    instruction.free()
  }
  for (let group = 0; group < GROUPS; group++) {
    const memory = new MemoryOperand(Register.RBX, Register.RCX, 8, 16n, 1, false, Register.None)
    add(Instruction.createRegMem(Code.Mov_r64_rm64, Register.RAX, memory))
    add(Instruction.createRegReg(Code.Add_rm64_r64, Register.RAX, Register.RBX))
    const plain = new MemoryOperand(Register.RBX, Register.None, 1, 0n, 0, false, Register.None)
    add(Instruction.createMemI32(group < 128 ? Code.Cmp_rm32_imm8 : Code.Cmp_rm32_imm32, plain, group))
    add(Instruction.createBranch(Code.Je_rel8_64, BigInt(group * GROUP + GROUP)))
    add(Instruction.createRegI32(Code.Mov_r32_imm32, Register.EAX, 5))
    add(Instruction.createRegRegReg(Code.VEX_Vaddps_xmm_xmm_xmmm128, Register.XMM1, Register.XMM2, Register.XMM3))
    add(Instruction.createRegRegI32(Code.Imul_r64_rm64_imm32, Register.RDX, Register.RAX, 1000))
    add(Instruction.createReg(Code.Push_r64, Register.RDX))
  }
  const bytes = encoder.encode(BigInt(ADDRESS))
  encoder.free()
  return bytes
}

function timed(work: () => Uint8Array): [milliseconds: number, bytes: Uint8Array] {
  const started = performance.now()
  const bytes = work()
  return [performance.now() - started, bytes]
}

let best = Number.POSITIVE_INFINITY
let peer = Number.POSITIVE_INFINITY
for (let round = 0; round < ROUNDS; round++) {
  const [mine, bytes] = timed(ours)
  const [theirs, others] = timed(iced)
  if (Buffer.compare(bytes, others) !== 0) {
    const at = bytes.findIndex((value, index) => value !== others[index])
    throw new Error(`the bytes differ at ${at}: ${bytes.subarray(at, at + 8)} and ${others.subarray(at, at + 8)}`)
  }
  best = Math.min(best, mine)
  peer = Math.min(peer, theirs)
}
const count = GROUPS * GROUP
console.error(
  `ours ${((best * 1e6) / count).toFixed(0)} ns, iced-x86 ${((peer * 1e6) / count).toFixed(0)} ns an instruction`,
)
console.log(`assembler: ${(peer / best).toFixed(2)} x iced (${count} instructions with labels, create + BlockEncoder)`)
