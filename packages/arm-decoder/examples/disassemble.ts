// Prints A64 code as people write it, and the fields of one instruction.
import { extract, findA64, formatA64 } from '@retrap/arm-decoder'

const code = [0xa9bf7bfd, 0x910003fd, 0x97fffffe, 0x4ea21c41, 0xa8c17bfd, 0xd65f03c0]
const names: Record<string, string> = { '1000': 'puts' }

for (const [index, word] of code.entries()) {
  const address = 0x1000n + BigInt(index * 4)
  console.log(formatA64(word, { address, symbols: (at) => names[at.toString(16)] }))
}

const form = findA64(0x8b030c41)!
const field = (letter: string): number => extract(form.fields.get(letter), 0x8b030c41)
console.log(form.mnemonic, form.operands, [...'dnms'].map(field))

// Output:
// stp x29, x30, [sp, #-16]!
// mov x29, sp
// bl puts
// mov v1.16b, v2.16b
// ldp x29, x30, [sp], #16
// ret
// ADD <Rd>, <Rn>, <Rm><shift> [ 1, 2, 3, 3 ]
