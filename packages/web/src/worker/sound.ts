import type { Loudspeakers, SoundSender } from './sound-sender.ts'

/** Output of a machine's sound: none, until a page listens. It survives a reset of the machine. */
export class MachineSound {
  #sender: SoundSender | null = null
  readonly speaker: Loudspeakers = { play: (samples, format) => this.#sender?.play('speaker', samples, format) }
  readonly card: Loudspeakers = { play: (samples, format) => this.#sender?.play('card', samples, format) }

  /** Sends sound to a port from now on, in place of the port before. */
  async sendTo(port: MessagePort, isShared: boolean): Promise<void> {
    const { SoundSender } = await import('./sound-sender.ts')
    this.#sender?.port.close()
    this.#sender = new SoundSender(port, isShared)
  }
}
