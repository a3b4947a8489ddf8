// Prints instructions of AVX-512 and APX, and what their prefixes say besides the operands.
import { decode, formatIntel, PREFIX_REX2 } from '@retrap/x86-decoder'

const samples = [
  '62 f1 7c 59 58 40 04',
  '62 f1 ed bb 58 cb',
  '62 f2 7d 4a 90 44 88 10',
  '62 f4 74 1c 01 c1',
  '62 f4 24 04 39 d8',
  'd5 5d 03 04 24',
]
for (const sample of samples) {
  const { info, instruction, ...insn } = decode(Uint8Array.from(sample.split(' '), (byte) => parseInt(byte, 16)))
  const memory = insn.operands.find((operand) => operand.kind === 'memory')
  const notes = [
    insn.mask !== undefined && `${insn.zeroing ? 'zeroing' : 'merging'} by ${insn.mask}`,
    insn.rounding,
    memory !== undefined && memory.broadcast > 0 && `${memory.size} bytes, ${memory.broadcast} times`,
    instruction.noFlags && 'no flags',
    // What the form needs, and the prefix besides.
    info.feature,
    (instruction.prefixes & PREFIX_REX2) !== 0 && 'APX_F',
  ]
  console.log(`${formatIntel(instruction)}  # ${notes.filter(Boolean).join(', ')}`)
}

// Output:
// vaddps zmm0{k1}, zmm0, dword ptr [rax+0x10]{1to16}  # merging by k1, 4 bytes, 16 times, AVX512F
// vaddpd zmm1{k3}{z}, zmm2, zmm3{rd-sae}  # zeroing by k3, rd-sae, AVX512F
// vpgatherdd zmm0{k2}, dword ptr [rax+zmm1*4+0x40]  # merging by k2, AVX512F
// {nf} add ecx, ecx, eax  # no flags, APX_F
// ccmpe {dfv=sf} eax, ebx  # APX_F
// add r24, qword ptr [r28]  # APX_F
