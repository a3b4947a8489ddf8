/*
 * A machine whose memory the host takes away and gives back through the store, while a device makes DMA. Arguments:
 * kernel, initrd, CPUs. Prints what the guest prints, and at the end what it has seen of the device's mappings.
 */
import { readFile } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import type { GuestMapping } from '@retrap/device'
import { createPc, type Pc } from '@retrap/machine'
import { TO_DEVICES } from '../../support/first-process.ts'
import { createDmaLoop } from '../devices/dma-loop.ts'

const MEMORY_BYTES = 256 << 20
const PAGE = 0x1000
const [kernelPath = '', initrdPath = '', cpus = '1'] = process.argv.slice(2)
const seen = { mappings: 0, orphaned: 0, left: 0, wrong: 0 }

/**
 * While a mapping is held, each of its frames is the guest's at that place or, where it has left, nobody's: it is
 * neither free nor back in the guest's map somewhere else.
 */
function look(pc: Pc, mapping: GuestMapping): void {
  const { memory, p2m } = pc.domain
  seen.mappings++
  if (mapping.orphaned) seen.orphaned++
  for (const { bytes, gpa, length } of mapping.segments) {
    if (bytes === null) continue
    const { byteOffset } = bytes as Uint8Array
    for (let at = 0; at < length; at += PAGE) {
      const mfn = (byteOffset + at) / PAGE
      const gfn = (gpa + at) / PAGE
      const place = p2m.guestFrame(mfn)
      if (!memory.frames.isAllocated(mfn) || (place >= 0 && place !== gfn)) seen.wrong++
      // It has left, and the notice may still be under way.
      if (place < 0) seen.left++
    }
  }
}

const [kernel, initrd] = await Promise.all([readFile(kernelPath), readFile(initrdPath)])
const pc: Pc = await createPc({
  kernel,
  initrd,
  memoryBytes: MEMORY_BYTES,
  cpus: Number(cpus),
  hypervisor: 'xen',
  jit: process.env['RETRAP_TEST_JIT'] !== 'off',
  commandLine: TO_DEVICES,
  devices: [createDmaLoop({ ramBytes: MEMORY_BYTES, beforeRelease: (mapping) => look(pc, mapping) })],
})
const { xen } = pc
if (xen === undefined) throw new Error('no Xen')

const ready = Promise.withResolvers<void>()
let text = ''
pc.serial.onTransmit((bytes) => {
  process.stdout.write(bytes)
  text += new TextDecoder().decode(bytes)
  if (text.includes('== ready')) ready.resolve()
})
const ended = pc.run({ timeoutMs: 200_000 })

const home = `/local/domain/${xen.domainId}`
const most = Number(xen.store.read(`${home}/memory/static-max`))
const frames = xen.memory.current
const until = async (done: () => boolean): Promise<void> => {
  while (!done()) await setTimeout(20)
}
await ready.promise
xen.store.write(`${home}/memory/target`, Math.floor(most / 2))
await until(() => xen.memory.current < 0.55 * frames)
await setTimeout(1000)
const half = xen.memory.current
xen.store.write(`${home}/memory/target`, most)
const exit = await ended
const { mappings, orphaned, left, wrong } = seen
console.log(
  `host: ${mappings} mappings, ${orphaned} orphaned, ${left} frames left, ${wrong} wrong; ${half} frames at half`,
)
if (exit.reason !== 'power-off') throw new Error(`the machine ended: ${exit.reason}`)
