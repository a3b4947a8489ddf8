import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { I32, ModuleBuilder } from '@retrap/wasm-emitter'
import type { CompiledCode } from '@retrap/x86-cpu'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { compiledText, jitDump } from '../src/jit-dump.ts'

/** ADD EAX, ECX; JNE to it. */
function code(): CompiledCode {
  const module = new ModuleBuilder()
  module.function('unit', { params: [], result: 'i32' }, { export: true }).return(I32.of(1))
  return {
    module: module.build(),
    bits: 64,
    instructions: [
      { address: 0xffff_ffff_8100_0000n, bytes: Uint8Array.of(0x01, 0xc8) },
      { address: 0xffff_ffff_8100_0002n, bytes: Uint8Array.of(0x75, 0xfc) },
    ],
  }
}

let folder: string
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'retrap-jit-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('a unit is its guest code, then its module', () => {
  expect(compiledText(code())).toBe(`;; ffffffff81000000  01 c8                  add eax, ecx
;; ffffffff81000002  75 fc                  jne 0xffffffff81000000
(module
  (type (;0;) (func (result i32)))
  (func (;0;) (export "unit") (type 0)
    i32.const 1
    return))
`)
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
