// Counts the branches in a piece of code with the form that allocates nothing.
import { codeInfo, DECODED, decodeInto, Instruction } from '@retrap/x86-decoder'

const code = Uint8Array.of(0x31, 0xc0, 0x39, 0xf8, 0x7d, 0x04, 0xff, 0xc0, 0xeb, 0xf8, 0xc3)

const insn = new Instruction()
let branches = 0
for (let at = 0; at < code.length; at += insn.length) {
  if (decodeInto(code, at, code.length, 64, insn) !== DECODED) break
  const { flow } = codeInfo(insn.code)
  if (flow === 'branch' || flow === 'jump') branches++
}
console.log(`${branches} branches`)

// Output:
// 2 branches
