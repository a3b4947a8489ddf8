import { decode, formatIntel } from '@retrap/x86-decoder'

/** One line for each instruction: its address, its bytes, its text. */
function* disassemble(bytes: Uint8Array, mode: 16 | 32 | 64, address: bigint): Generator<string> {
  for (let at = 0; at < bytes.length;) {
    const insn = decode(bytes.subarray(at), { mode, address: address + BigInt(at) })
    const length = Math.max(insn.length, 1)
    const hex = [...bytes.subarray(at, at + length)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    yield `${(address + BigInt(at)).toString(16)}  ${hex.padEnd(24)}${formatIntel(insn)}`
    at += length
  }
}

const hex = '55 48 89 e5 c5 fd 6f 07 c5 fd fe 06 c5 fd 7f 07 0f 0b'
const bytes = Uint8Array.from(hex.split(' '), (byte) => Number.parseInt(byte, 16))
for (const line of disassemble(bytes, 64, 0x40_1000n)) console.log(line)

// Output:
// 401000  55                      push rbp
// 401001  48 89 e5                mov rbp, rsp
// 401004  c5 fd 6f 07             vmovdqa ymm0, ymmword ptr [rdi]
// 401008  c5 fd fe 06             vpaddd ymm0, ymm0, ymmword ptr [rsi]
// 40100c  c5 fd 7f 07             vmovdqa ymmword ptr [rdi], ymm0
// 401010  0f 0b                   ud2
