import type { Pc } from '@retrap/machine'

/** What a guest is answered: once its output holds a text, something is done. */
export type Answer = readonly [to: string, act: () => void]

/** A guest's serial output so far, and how many of its answers it was given. */
export interface Conversation {
  readonly text: string
  readonly given: number
}

/** Collects what a guest sends over its serial port, and gives it answers, one after the other. */
export function converse(pc: Pick<Pc, 'serial'>, answers: readonly Answer[]): Conversation {
  const conversation = { text: '', given: 0 }
  pc.serial.onTransmit((bytes) => {
    conversation.text += String.fromCharCode(...bytes)
    const next = answers[conversation.given]
    if (next === undefined || !conversation.text.includes(next[0])) return
    conversation.given++
    next[1]()
  })
  return conversation
}
