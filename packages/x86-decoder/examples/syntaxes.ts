// Prints one instruction in three syntaxes, then in pieces that a terminal can colour.
import { decode, formatAtt, formatIntel, formatNasm, tokensNasm } from '@retrap/x86-decoder'

const symbols = (address: bigint): string | undefined => (address === 0x402000n ? 'counter' : undefined)
const insn = decode(Uint8Array.of(0xf0, 0x83, 0x05, 0xf8, 0x0f, 0x00, 0x00, 0x01), { address: 0x401000n })

console.log(formatIntel(insn, { symbols }))
console.log(formatAtt(insn, { symbols }))
console.log(formatNasm(insn, { symbols, upperCase: true, hex: 'suffix' }))

const colours: Readonly<Record<string, number>> = { mnemonic: 1, register: 36, number: 33, symbol: 32 }
const paint = tokensNasm(insn, { symbols }).map(({ kind, text }) => `<${colours[kind] ?? 0}>${text}`)
console.log(paint.join(''))

// Output:
// lock add dword ptr [rip+counter], 0x1
// lock addl $0x1, counter(%rip)
// LOCK ADD DWORD [REL counter], 1H
// <0>lock<0> <1>add<0> <0>dword<0> <0>[<0>rel<0> <32>counter<0>]<0>,<0> <33>0x1
