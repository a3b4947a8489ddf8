/** Members of structures in BTF, against offsetof and sizeof of the compiler that has written both. */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import fc from 'fast-check'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeAll, describe, expect, test } from 'vitest'
import { Btf } from '../src/btf.ts'
import { elfTables } from '../src/elf-tables.ts'
import { SymbolsError } from '../src/errors.ts'

const TYPES = `
  typedef unsigned long size; enum kind { ONE, TWO }; struct pair { int a; volatile const size b; };
  struct task {
    char first; unsigned flag : 3, other : 5;
    struct { short inner; union { int word; struct { char low, high[3]; }; }; };
    struct pair named; struct pair many[3]; struct task *next; enum kind kind; char name[16]; double number;
  };
`
const MEMBERS = ['first', 'inner', 'word', 'high', 'named', 'named.b', 'many', 'next', 'kind', 'name', 'number', 'low']
const writes = hasProgram('gcc') && spawnSync('gcc', ['-gbtf', '-E', '-x', 'c', '/dev/null']).status === 0

describe.skipIf(!writes)(`BTF${skipNote(writes, 'gcc is not installed, or knows no -gbtf')}`, () => {
  const folder = temporaryFolder('btf')
  let bytes: Uint8Array
  let printed: string
  beforeAll(() => {
    const print = MEMBERS.map(
      (name) => `printf("${name} %zu %zu\\n", offsetof(struct task, ${name}), sizeof ((struct task *)0)->${name});`,
    )
    const main = `int main(void) { struct task t = { 0 }; ${print.join('')} printf("%zu", sizeof t); return t.kind; }`
    writeFileSync(join(folder, 'a.c'), `#include <stddef.h>\n#include <stdio.h>\n${TYPES}${main}`)
    execFileSync('gcc', ['-gbtf', '-O0', 'a.c', '-o', 'a'], { cwd: folder })
    execFileSync('gcc', ['-gbtf', '-O0', '-c', 'a.c', '-o', 'a.o'], { cwd: folder })
    printed = execFileSync(join(folder, 'a'), { encoding: 'utf8' })
    const file = readFileSync(join(folder, 'a.o'))
    const section = elfTables(file).sections.find(({ name }) => name === '.BTF')!
    bytes = file.subarray(section.offset, section.offset + section.size)
  })

  test('members, in structures without a name and of members too', () => {
    const btf = new Btf(bytes)
    const found = MEMBERS.map((name) => {
      const member = btf.member('task', name)
      return `${name} ${member?.offset} ${member?.bytes}`
    })
    expect(`${found.join('\n')}\n${btf.size('task')}`).toBe(printed)
    expect(btf.member('task', 'nothing')).toBeUndefined()
    expect(btf.member('task', 'name.of')).toBeUndefined()
    expect(btf.member('nothing', 'a')).toBeUndefined()
    expect(btf.size('nothing')).toBeUndefined()
  })

  test('any bytes changed, or cut off, are read or refused', () => {
    const change = fc.tuple(fc.nat(bytes.length - 1), fc.nat(255))
    fc.assert(
      fc.property(fc.array(change, { maxLength: 6 }), fc.nat(3 * bytes.length), (changes, cut) => {
        const broken = bytes.slice(0, cut)
        for (const [at, byte] of changes) if (at < broken.length) broken[at] = byte
        try {
          const btf = new Btf(broken)
          for (const name of MEMBERS) btf.member('task', name)
        } catch (error) {
          expect(error).toBeInstanceOf(SymbolsError)
        }
      }),
      { numRuns: 1000 },
    )
  })
})
