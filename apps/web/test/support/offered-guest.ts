import { buildGuestImage } from '@retrap/embedded-guest'
import { createPc } from '@retrap/machine'
import { writeSnapshot } from '@retrap/snapshot'

/** A system that lies beside the site, at its prompt: the embedded guest, after a command. @returns its files */
export async function offeredGuest(): Promise<ReadonlyMap<string, Uint8Array>> {
  const pc = await createPc({ memoryBytes: 16 << 20, firmware: buildGuestImage(), jit: true })
  const stop = new AbortController()
  let printed = ''
  pc.serial.onTransmit((bytes) => {
    printed += Buffer.from(bytes).toString('latin1')
    if (printed.split('retrap> ').length === 3) stop.abort()
  })
  pc.serial.receive(Buffer.from('echo saved here\r'))
  await pc.run({ signal: stop.signal })
  const parts: Uint8Array[] = []
  const { state, pages } = await pc.save()
  pc.close()
  const description = { version: 1, arguments: ['run'], savedAt: '' }
  const whole = { description, state: { ...state, console: new TextEncoder().encode(printed) }, pages }
  await writeSnapshot(whole, (bytes) => parts.push(bytes))
  const system = {
    title: 'Small guest',
    description: 'For tests.',
    options: { firmware: 'guest.bin', snapshot: 'systems/small.snapshot' },
  }
  return new Map([
    ['systems/small.snapshot', Buffer.concat(parts)],
    ['systems/systems.json', Buffer.from(JSON.stringify([system]))],
  ])
}
