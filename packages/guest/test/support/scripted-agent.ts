import type { GuestPort } from '@retrap/guest'

/** A request as an agent gets it. */
export interface Request {
  readonly session: string
  readonly id: string
  readonly words: readonly string[]
}

/** What a peer sends for a request: words of an answer, all that it sends as text, or nothing. */
type Reply = readonly string[] | string | undefined

export function answerLine(session: string, id: string | number, words: readonly string[]): string {
  const line = [session, id, ...words].join(' ')
  return `\nrt1< ${line.length} ${line}\n`
}

/** A peer that does what a test has it do. It never carries out anything. */
export class ScriptedAgent implements GuestPort {
  readonly requests: Request[] = []
  #listener: (bytes: Uint8Array) => void = () => {}
  readonly #reply: (request: Request, times: number) => Reply

  /** @param reply - gets each request, and how often its id has come before; `sync` is answered where it returns `[]` */
  constructor(reply: (request: Request, times: number) => Reply) {
    this.#reply = reply
  }

  onTransmit(listener: (bytes: Uint8Array) => void): void {
    this.#listener = listener
  }

  onDrain(): void {}

  receive(bytes: Uint8Array): boolean {
    for (const line of Buffer.from(bytes).toString('latin1').split('\n')) {
      const [, length, rest = ''] = /^rt1> (\d+) (.*)$/.exec(line) ?? []
      if (Number(length) !== rest.length) continue
      const [session = '', id = '', ...words] = rest.split(' ')
      const request = { session, id, words }
      const times = this.requests.filter((other) => other.id === id && other.session === session).length
      this.requests.push(request)
      const reply = this.#reply(request, times)
      if (reply === undefined) continue
      const isUsual = reply.length === 0 && words[0] === 'sync'
      queueMicrotask(() =>
        this.send(typeof reply === 'string' ? reply : answerLine(session, id, isUsual ? ['ok', '1'] : reply)),
      )
    }
    return true
  }

  /** Sends a text, one byte a character. */
  send(text: string): void {
    this.#listener(Buffer.from(text, 'latin1'))
  }

  /** The operations that were asked for. */
  get operations(): readonly string[] {
    return this.requests.map(({ words }) => words[0] ?? '')
  }
}

/** A peer whose commands run as `states` say, one for each `poll`, and print what `fetch` returns for each output. */
export function running(
  states: readonly string[],
  fetch: (output: string, block: number) => Reply = () => ['ok'],
): ScriptedAgent {
  let polls = 0
  return new ScriptedAgent(({ words }) => {
    switch (words[0]) {
      case 'sync':
        return []
      case 'poll':
        return (states[Math.min(polls++, states.length - 1)] ?? '').split(' ')
      case 'fetch':
        return fetch(words[2] ?? '', Number(words[3]))
      default:
        return ['ok']
    }
  })
}
