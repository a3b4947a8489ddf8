/*
 * An Arm machine whose memory the host takes away and gives back through the store, while a device maps the memory. Arguments:
 * kernel, busybox, CPUs. Prints what the guest prints, and at the end what it has seen, as JSON.
 */
import { readFile } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { defineDevice, type DeviceContext, type GuestMapping } from '@retrap/device'
import { type ArmMachine, createArmMachine, VIRT } from '@retrap/machine/arm'
import { buildInitramfs } from '@retrap/linux-guest/linux/initramfs'

const MEMORY_BYTES = 384 << 20
const PAGE = 0x1000
const SWEEP_BYTES = 8 << 20
const SWEEP_NS = 1_000_000
const PROMPT = '/ # '
const [kernelPath = '', busyboxPath = '', cpus = '1'] = process.argv.slice(2)
const seen = { mappings: 0, orphaned: 0, holes: 0, wrong: 0, frames: 0, half: 0, full: 0, sums: 0, reason: '' }

/** While a mapping is held, none of its frames is free, or back in the guest's map somewhere else. */
function look(machine: ArmMachine, mapping: GuestMapping): void {
  const { memory, p2m } = machine.domain
  seen.mappings++
  if (mapping.orphaned) seen.orphaned++
  for (const { bytes, gpa, length } of mapping.segments) {
    if (bytes === null) {
      seen.holes++
      continue
    }
    const { byteOffset } = bytes as Uint8Array
    for (let at = 0; at < length; at += PAGE) {
      const mfn = (byteOffset + at) / PAGE
      const place = p2m.guestFrame(mfn)
      if (!memory.frames.isAllocated(mfn) || (place >= 0 && place !== (gpa + at) / PAGE)) seen.wrong++
    }
  }
}

/** Holds one run of RAM after the other, each until it is the next one's turn. */
function sweep(context: DeviceContext): void {
  let at = 0
  let held: GuestMapping | undefined
  const timer = context.timer(() => {
    if (held !== undefined) {
      look(machine, held)
      held.release()
    }
    held = context.dma.map(VIRT.ram.base + at, SWEEP_BYTES)
    at = (at + SWEEP_BYTES) % MEMORY_BYTES
    timer.arm(context.clock.now() + SWEEP_NS)
  })
  timer.arm(context.clock.now() + SWEEP_NS)
}

const [kernel, busybox] = await Promise.all([readFile(kernelPath), readFile(busyboxPath)])
const machine: ArmMachine = await createArmMachine({
  kernel,
  initrd: buildInitramfs(busybox),
  memoryBytes: MEMORY_BYTES,
  cpus: Number(cpus),
  hypervisor: 'xen',
  jit: process.env['RETRAP_TEST_JIT'] !== 'off',
  commandLine: 'console=ttyAMA0 quiet cryptomgr.notests panic=-1',
  devices: [
    defineDevice({ name: 'sweeper', synchronous: true, mmio: { base: 0x0d00_0000, size: PAGE }, attach: sweep }),
  ],
})
const { xen } = machine
if (xen === undefined) throw new Error('no Xen')

let text = ''
machine.serial.onTransmit((bytes) => {
  process.stdout.write(bytes)
  text += new TextDecoder().decode(bytes)
})
const ended = machine.run({ timeoutMs: 200_000 })

const until = async (done: () => boolean): Promise<void> => {
  while (!done() && machine.state === 'running') {
    await setTimeout(20)
  }
}
/** Types a command, and waits for the prompt behind its output. */
async function shell(command: string): Promise<string> {
  text = ''
  machine.serial.receive(new TextEncoder().encode(`${command}\n`))
  await until(() => text.includes('\n') && text.includes(PROMPT))
  return text
}
/** A sum of files that the guest keeps in memory. */
const sums = async (): Promise<string> =>
  /[0-9a-f]{64}/.exec(await shell('cat /bin/busybox /tmp/random | sha256sum'))?.[0] ?? ''

const home = `/local/domain/${xen.domainId}`
const most = Number(xen.store.read(`${home}/memory/static-max`))
await until(() => text.includes(PROMPT))
// One frame less than at first: the shared page has taken its place.
seen.frames = xen.memory.current
await shell('mkdir -p /tmp; head -c 8000000 /dev/urandom > /tmp/random')
const first = await sums()
xen.store.write(`${home}/memory/target`, Math.floor(most / 2))
await until(() => xen.memory.current < 0.55 * seen.frames)
await setTimeout(500)
seen.half = xen.memory.current
const second = await sums()
xen.store.write(`${home}/memory/target`, most)
await until(() => xen.memory.current === seen.frames)
seen.full = xen.memory.current
const third = await sums()
seen.sums = [first, second, third].filter((sum) => sum !== '' && sum === first).length
await shell('dmesg')
machine.serial.receive(new TextEncoder().encode('poweroff -f\n'))
seen.reason = (await ended).reason
console.log(`\nseen: ${JSON.stringify(seen)}`)
