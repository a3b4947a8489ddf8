import type { Loudspeakers, SoundSender } from './sound-sender.ts'

/** Where a machine's sound goes: nowhere, until a page listens. It goes on when the machine starts anew. */
export class MachineSound {
  #sender: SoundSender | null = null
  readonly speaker: Loudspeakers = { play: (samples, format) => this.#sender?.play('speaker', samples, format) }
  readonly card: Loudspeakers = { play: (samples, format) => this.#sender?.play('card', samples, format) }

  /** Sends sound to a port from now on, in place of the last one. */
  async sendTo(port: MessagePort, isShared: boolean): Promise<void> {
    const { SoundSender } = await import('./sound-sender.ts')
    this.#sender?.port.close()
    this.#sender = new SoundSender(port, isShared)
  }
}
