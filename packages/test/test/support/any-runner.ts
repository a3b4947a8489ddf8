// No test of vitest: the soak `runtimes` runs it by `node --test`, `bun test` and `deno test`.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BootedMachine } from '@retrap/test'
import { countingFirmware } from './counting-guest.ts'

const pc = { memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, firmware: countingFirmware() }
const booted = await BootedMachine.pc({ pc, ready: '> ' })

for (const line of ['one', 'two'])
  void test(`${line} is the first line`, () =>
    booted.run(async (machine) => assert.equal(await machine.command(line), '1\n')))
