import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { I32, ModuleBuilder } from '@retrap/wasm-emitter'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeEach, expect, test } from 'vitest'
import { compiledText, jitDump } from '../../src/machine/jit-dump.ts'
import type { DumpedCode } from '@retrap/linux-guest/machine/machine-contract'

/** ADD EAX, ECX; JNE to it. */
function code(): DumpedCode {
  const module = new ModuleBuilder()
  const f = module.function('unit', { params: [], result: 'i32' }, { export: true })
  const [add, jne, rest] = [I32.of(1), I32.of(2), I32.of(3)].map((value) => {
    const from = f.codeBytes
    f.return(value)
    return from
  })
  const bytes = module.build()
  const at = (from: number): number => module.endOf(f) - 1 - (f.codeBytes - from)
  return {
    module: bytes,
    bits: 64,
    instructions: [
      { address: 0xffff_ffff_8100_0000n, bytes: Uint8Array.of(0x01, 0xc8) },
      { address: 0xffff_ffff_8100_0002n, bytes: Uint8Array.of(0x75, 0xfc) },
    ],
    marks: [
      { at: at(add!), instruction: 0, goesOn: false },
      { at: at(jne!), instruction: 1, goesOn: true },
      { at: at(rest!), instruction: -1, goesOn: false },
    ],
  }
}

let folder: string
beforeEach(() => (folder = temporaryFolder('jit')))

test('a unit is its module, with each instruction before its code', () => {
  expect(compiledText(code())).toBe(`(module
  (type (;0;) (func (result i32)))
  (func (;0;) (export "unit") (type 0)
    ;; ffffffff81000000  01 c8                  add eax, ecx
    i32.const 1
    return
    ;; ffffffff81000002  75 fc                  jne 0xffffffff81000000  (continued)
    i32.const 2
    return
    ;; the unit itself
    i32.const 3
    return))
`)
})

test('instructions of another architecture have its text', () => {
  const text = compiledText({ ...code(), bits: 32, disassemble: (bytes, address) => `nop ${bytes.length} ${address}` })
  expect(text).toContain('    ;; ffffffff81000000  01 c8                  nop 2 18446744071578845184\n')
})

test('a folder may be named by way of one that is not there', () => {
  const warnings: string[] = []
  jitDump(`${folder}/a/../b/`, (message) => warnings.push(message))(code())
  expect(readdirSync(folder)).toEqual(['b'])
  expect(warnings).toEqual([])
})

test('each unit gets a file, with its number and address as name, in a folder that is made', () => {
  const warnings: string[] = []
  const dump = jitDump(join(folder, 'deep', 'units'), (message) => warnings.push(message))
  dump(code())
  dump({ ...code(), bits: 32 })
  const names = readdirSync(join(folder, 'deep', 'units')).toSorted()
  expect(names).toEqual(['00000-ffffffff81000000.wat', '00001-ffffffff81000000.wat'])
  expect(readFileSync(join(folder, 'deep', 'units', names[0]!), 'utf8')).toBe(compiledText(code()))
  expect(warnings).toEqual([])
})

test('a folder that cannot be made is an error; a file that cannot be written ends the dump with a word', () => {
  writeFileSync(join(folder, 'file'), '')
  expect(() => jitDump(join(folder, 'file', 'units'), () => undefined)).toThrow('cannot make the folder')
  const warnings: string[] = []
  const dump = jitDump(join(folder, 'gone'), (message) => warnings.push(message))
  rmSync(join(folder, 'gone'), { recursive: true })
  dump(code())
  dump(code())
  expect(warnings).toHaveLength(1)
  expect(warnings[0]).toMatch(/^cannot write .*gone.*no more units are written$/)
})

test.skipIf(process.platform !== 'linux')('a folder in /proc is an error, and not waited for', () => {
  expect(() => jitDump('/proc/retrap/units', () => undefined)).toThrow(
    /^cannot make the folder \/proc\/retrap\/units: its folder is not there/,
  )
})
