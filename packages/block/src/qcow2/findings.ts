const MOST_MESSAGES = 20

/** Collects findings; only the first ones are kept in words. */
export class Findings {
  corruptions = 0
  leaks = 0
  readonly messages: string[] = []

  corruption(text: string): void {
    this.corruptions++
    this.#say(`error: ${text}`)
  }

  leak(text: string): void {
    this.leaks++
    this.#say(`leak: ${text}`)
  }

  #say(text: string): void {
    if (this.messages.length < MOST_MESSAGES) this.messages.push(text)
  }
}
