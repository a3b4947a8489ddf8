import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram } from '@retrap/tooling/skip'
import { sliced } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { type DecodedInstruction, decode, decodeInto, formatIntel, Instruction, PREFIX_REX2 } from '../src/index.ts'
import { bytesOf, hexOf } from './support/bytes.ts'

test('prints a record as it prints a decoded instruction', () => {
  const insn = new Instruction()
  decodeInto(bytesOf('48 8b 05 10 00 00 00'), 0, 7, 64, insn)
  expect(formatIntel(insn)).toBe('mov rax, qword ptr [rip+0x10]')
})

test('names addresses by a symbol resolver', () => {
  const names = new Map([
    [0x1007n, 'message'],
    [0x1000n, 'start'],
  ])
  const symbols = (address: bigint): string | undefined => names.get(address)
  const text = (hex: string): string => formatIntel(decode(bytesOf(hex), { address: 0x1000n }), { symbols })
  expect(text('48 8d 05 00 00 00 00')).toBe('lea rax, [rip+message]')
  expect(text('eb fe')).toBe('jmp start')
  expect(text('eb 00')).toBe('jmp 0x1002')
  expect(text('8b 04 25 07 10 00 00')).toBe('mov eax, dword ptr ds:[message]')
})

test('says when there is no instruction', () => {
  expect(formatIntel(decode(bytesOf('06')))).toBe('(bad)')
})

/** Texts that GNU as does not read, and why not. A closed list. */
const unreadable: readonly { text: RegExp; why: string; mode?: number }[] = [
  { text: /^(erets|eretu|lkgs|pbndkb)\b/, why: 'newer than binutils 2.40' },
  { text: /^v(pdpw(uu|us|su)ds?|sha512\w+|sm[34]\w+) /, why: 'newer than binutils 2.40' },
  {
    text: /^(prefetchrst2|movrs|urdmsr|uwrmsr|rdmsr|wrmsrns|tdp\w+8ps|tmmultf32ps|tileloaddrs\w*)\b/,
    why: 'newer than binutils 2.40',
  },
  { text: /^ccs_(hash|encrypt)/, why: 'it lacks them' },
  { text: /^bnd\w+ .*\[e\w\w/, why: 'it refuses 67 in 64-bit mode, where processors ignore it', mode: 64 },
  { text: /^salc/, why: 'undocumented' },
  { text: /^fstpnce/, why: 'undocumented' },
  { text: /^nop .*,/, why: 'reserved no-operations have no spelling with two operands' },
  { text: /^(sysret|sysexit)$/, why: 'it wants a suffix, which the manual does not have' },
  { text: /^(call|jmp) far dword ptr/, why: 'it has no spelling for a 16:16 pointer in memory' },
  { text: /^(call|jmp|lss|lfs|lgs) .*tbyte ptr/, why: 'it has no spelling for a 16:64 pointer' },
  {
    text: /^(movsxd [a-z0-9]+w?, word ptr|movsxd (ax|bx|cx|dx|sp|bp|si|di), |bswap (ax|bx|cx|dx|sp|bp|si|di))/,
    why: 'the 16-bit form',
  },
  { text: /data(16|32) (loop|j[er]?cxz)/, why: 'it drops the prefix' },
  { text: /^prefetchit[01]/, why: 'outside 64-bit mode it is a no-operation' },
  {
    text: /^(call|jmp) 0x\w+:0x\w{5,}|ds:\[0x\w{5,}\]|^push 0x\w{5,}|\.[-+]0x\w{4,}$/,
    why: 'it makes 16-bit numbers of them',
    mode: 16,
  },
  { text: /^(call|jmp) dword ptr/, why: 'it takes them for far pointers', mode: 16 },
]

/** Our text → as's bytes → our text, where the two texts mean the same. A closed list. */
const equivalent: readonly { from: RegExp; to: RegExp }[] = [
  // The shorter of two encodings, in which the upper half of a register is zeroed anyhow.
  { from: /^(mov|sldt|str|smsw) r\w+, ?/, to: /^(mov|sldt|str|smsw) e|^\w+ r\d+d/ },
  { from: /^(mov \w\w, |sldt |str |smsw )/, to: /^(mov \w\w, |sldt |str |smsw )/ },
  {
    from: /^v?(pinsr[bw]|pextr[bw]|extractps|pmovmskb|movmskp[sd]) /,
    to: /^v?(pinsr[bw]|pextr[bw]|extractps|pmovmskb|movmskp[sd]) /,
  },
  { from: /^xchg ax, ax$/, to: /^nop$/ },
  // A 32-bit address without ModRM becomes a 64-bit one.
  { from: /^mov .*ds:\[/, to: /^movabs .*ds:\[/ },
  // MPX is gone; as spells BND on branches out.
  { from: /^bnd /, to: /^bnd / },
]

/** W, vvvv, L, pp of a sample: all of them with each opcode, and vvvv = 1111b, which many instructions demand, often. */
function vexByte(modrm: number, opcode: number): number {
  const mixed = (modrm * 41 + opcode * 8) & 0xff
  return (modrm & 8) === 0 ? mixed | 0x78 : mixed
}

/** Samples of all codes, with and without memory, in one mode. Each has an address of its own. */
function samples(mode: 16 | 32 | 64): DecodedInstruction[] {
  const found: DecodedInstruction[] = []
  const seen = new Set<string>()
  const buffer = new Uint8Array(16)
  for (const escape of ['', '0f', '0f 38', '0f 3a', 'c4']) {
    for (const prefix of ['', '66', 'f2', 'f3', '67', ...(mode === 64 ? ['48', '66 48', 'f3 48', '45'] : [])]) {
      const head = [...bytesOf(prefix), ...bytesOf(escape)]
      for (let opcode = 0; opcode < 256; opcode++) {
        for (let modrm = 0; modrm < 256; modrm++) {
          for (let i = 0; i < buffer.length; i++) buffer[i] = ((modrm * 7 + i * 0x51 + 0x8c) & 0x7f) | (modrm & 0x80)
          buffer.set(
            escape === 'c4'
              ? [0xc4, 0xe1 + (modrm % 3), vexByte(modrm, opcode), opcode, modrm]
              : [...head, opcode, modrm],
          )
          const decoded = decode(buffer, { mode })
          // EVEX and APX have tests of their own.
          if (decoded.info.encoding === 'evex' || (decoded.instruction.prefixes & PREFIX_REX2) !== 0) continue
          if (decoded.status !== 'decoded' || decoded.instruction.opcodeOffset < (escape === 'c4' ? 3 : head.length))
            continue
          const key = `${decoded.info.code} ${decoded.instruction.isMemory} ${decoded.instruction.addressSize}`
          if (seen.has(key)) continue
          seen.add(key)
          found.push({ ...decoded, bytes: decoded.bytes.slice() })
        }
      }
    }
  }
  return found
}

const SLOT = 32

/** Branch targets are printed relative to the instruction, because as makes relocations of numbers. */
function assembly(decoded: DecodedInstruction): string {
  const branch = decoded.operands.some(({ kind }) => kind === 'branch')
  if (!branch) return formatIntel(decoded)
  const bits = decoded.instruction.mode === 64 ? 64 : decoded.instruction.operandSize
  return formatIntel(decoded, {
    symbols: (target) => {
      const delta = BigInt.asIntN(bits, target - decoded.address)
      return delta < 0n ? `.-0x${(-delta).toString(16)}` : `.+0x${delta.toString(16)}`
    },
  })
}

describe.skipIf(!hasProgram('as') || !hasProgram('objcopy'))('GNU as reads it and means the same', () => {
  test.each(sliced([16, 32, 64] as const, 3))('in %i-bit mode', (mode) => {
    const cases = samples(mode).map((decoded) => ({ decoded, text: assembly(decoded) }))
    const readable = cases.filter(
      ({ text }) => !unreadable.some((row) => row.text.test(text) && (row.mode ?? mode) === mode),
    )
    const folder = temporaryFolder('format')
    const source = join(folder, 'a.s')
    const lines = readable.map(({ text }, i) => `.org ${i * SLOT}; ${text}`)
    writeFileSync(source, ['.intel_syntax noprefix', `.code${mode}`, ...lines, ''].join('\n'))
    const result = spawnSync('as', ['-o', `${source}.o`, source], { encoding: 'utf8', maxBuffer: 1 << 28 })
    const complaints = [...result.stderr.matchAll(/a\.s:(\d+): Error: (.*)/g)].map(
      ([, line, message]) => `${readable[Number(line) - 3]?.text ?? ''}: ${message as string}`,
    )
    expect(complaints).toEqual([])
    execFileSync('objcopy', ['-O', 'binary', '-j', '.text', `${source}.o`, `${source}.bin`])
    const image = readFileSync(`${source}.bin`)
    const wrong: string[] = []
    readable.forEach(({ decoded, text }, i) => {
      const again = decode(image, { mode, offset: i * SLOT })
      const other = again.status === 'decoded' ? assembly(again) : again.status
      if (other === text || equivalent.some(({ from, to }) => from.test(text) && to.test(other))) return
      wrong.push(`${hexOf(decoded.bytes)}: ${text}, back: ${hexOf(again.bytes)}: ${other}`)
    })
    console.log(`${mode}-bit mode: ${readable.length} of ${cases.length} samples assembled and decoded again`)
    expect(wrong).toEqual([])
  })
})
