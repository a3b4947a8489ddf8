import type { ConnectionOptions } from 'bullmq'

/** A queue's address that is refused. */
export class QueueUrlError extends Error {
  override readonly name = 'QueueUrlError'
}

const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]'])

/**
 * Checks the address of a queue on Redis. A writer of the queue can run code on its workers: off the loopback it has to be
 * `rediss:` (TLS) with a password.
 *
 * @throws QueueUrlError that shows no password
 */
export function checkedQueueUrl(text: string): string {
  if (!URL.canParse(text))
    throw new QueueUrlError('--queue: give redis://127.0.0.1:6379, or rediss://:PASSWORD@HOST:6379')
  const { protocol, hostname, password } = new URL(text)
  if (protocol !== 'redis:' && protocol !== 'rediss:')
    throw new QueueUrlError(`--queue ${protocol}//${hostname}: a queue is on Redis, redis:// or rediss://`)
  if (LOOPBACK.has(hostname)) return text
  if (protocol !== 'rediss:')
    throw new QueueUrlError(
      `--queue redis://${hostname}: use rediss:// (TLS), as whoever can write the queue can run code on workers`,
    )
  if (password === '')
    throw new QueueUrlError(
      `--queue rediss://${hostname}: give a password, as whoever can write the queue can run code on workers`,
    )
  return text
}

/** A worker waits for its server for ever, as BullMQ asks for. */
export function connectionOf(url: string): ConnectionOptions {
  return { url, maxRetriesPerRequest: null }
}
