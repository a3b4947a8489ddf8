import type { PacketBackend } from '@retrap/device'
import { message } from '../board/board-messages.ts'
import { MESSAGE, type Post } from '../back-ends/messages.ts'
import { FarNetwork, NearNetwork, type NetworkFacts } from '../back-ends/packets.ts'
import type { InputGate } from './input-gate.ts'

/** Frames that may be on their way, or wait for the card, before the network waits. */
const MOST_OUTSTANDING = 256
/** First byte of an input. */
const FRAME = 0
const LINK = 1

/**
 * Makes a network whose frames enter the machine by the gate. It takes every frame of the guest's: whether the network has room
 * is no matter of the machine's.
 *
 * @param network - null in a replay
 */
export function gatedPackets(
  gate: InputGate,
  name: string,
  network: PacketBackend | null,
  facts: NetworkFacts,
): FarNetwork {
  const far = new FarNetwork(facts, (kind, said) => near?.receive({ kind, ...said }), Infinity)
  const number = gate.party(
    name,
    (data) => {
      if (data[0] === LINK) far.receive({ kind: MESSAGE.link, flags: data[1]! })
      else far.receive({ kind: MESSAGE.receive, bytes: data.subarray(1) })
    },
    {
      save: () => far.save(),
      restore: (saved) => {
        const waiting = far.restore(saved)
        if (near !== null) near.onTheWay = waiting
      },
    },
  )
  const post = (kind: number, { flags = 0, bytes }: Parameters<Post>[1]): void => {
    if (kind === MESSAGE.receive) gate.post(number, message(FRAME, bytes!))
    else if (kind === MESSAGE.link) gate.post(number, Uint8Array.of(LINK, flags))
  }
  const near = network && new NearNetwork(network, post, MOST_OUTSTANDING, MOST_OUTSTANDING)
  return far
}
