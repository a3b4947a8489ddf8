import type { InputBackend, InputEvent } from '@retrap/device'
import { InputRelay, RemoteInput } from '../input/relay.ts'
import type { InputGate } from './gate.ts'

/** Makes a keyboard or pointer whose events enter the machine by the gate. */
export function gatedInput(gate: InputGate, name: string, backend: InputBackend): InputBackend {
  const relay = new InputRelay({
    taken: (count) => remote?.taken(count),
    setLeds: (leds) => backend.setLeds?.(leds),
    setPointer: (kind) => backend.setPointer?.(kind),
  })
  const number = gate.party(name, (data) => relay.receive(decode(data)), {
    save: () => relay.waiting,
    restore: (saved) => relay.restoreWaiting([...(saved as readonly InputEvent[])]),
  })
  const remote = gate.hasOutside ? new RemoteInput(backend, (events) => gate.post(number, encode(events))) : undefined
  return relay
}

const encode = (events: readonly InputEvent[]): Uint8Array => new TextEncoder().encode(JSON.stringify(events))

const decode = (data: Uint8Array): readonly InputEvent[] =>
  JSON.parse(new TextDecoder().decode(data)) as readonly InputEvent[]
