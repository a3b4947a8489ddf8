import { DebugConsole, DebugExit } from '@retrap/devices'
import { TEST_JIT } from '@retrap/tooling/jit'
import { describe, expect, test } from 'vitest'
import { createPc } from '../../src/index.ts'
import { remapping, selfModifying } from './code-changes.ts'
import { callGates, tasks, virtual8086 } from './gates.ts'
import { debugging, limits, windows } from './interruptions.ts'
import { levels } from './levels.ts'

/**
 * Guests that try what Linux never does. What they are to print is in `expected/`. It agrees with QEMU 7.2 (TCG) but
 * where QEMU departs from the manual: it checks no segment limits, no alignment, no DR7.GD and no access rights of
 * data segments, knows no ICEBP, and its LAR clears bits of a gate that are undefined.
 */
describe('a guest on the whole machine', () => {
  test.each([
    { name: 'levels', make: levels },
    { name: 'call-gates', make: callGates },
    { name: 'tasks', make: tasks },
    { name: 'virtual-8086', make: virtual8086 },
    { name: 'self-modifying-code', make: selfModifying },
    { name: 'remapping', make: remapping },
    { name: 'interrupt-windows', make: windows },
    { name: 'debugging', make: debugging },
    { name: 'limits-and-alignment', make: limits },
  ])('$name', async ({ name, make }) => {
    let text = ''
    const print = (bytes: Uint8Array): void => {
      for (const byte of bytes) text += String.fromCharCode(byte)
    }
    const pc = await createPc({
      jit: TEST_JIT,
      memoryBytes: 4 << 20,
      codeCacheBytes: 4 << 20,
      firmware: make(),
      clock: 'deterministic',
      devices: [new DebugConsole({ iobase: 0xe9, stream: { send: print } }), new DebugExit({ iobase: 0x501 })],
    })
    const exit = await pc.run({ timeoutMs: 100_000 })
    await expect(text).toMatchFileSnapshot(`expected/${name}.txt`)
    expect(exit).toMatchObject({ reason: 'debug-exit', code: 1 })
  })
})
