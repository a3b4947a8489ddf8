/** Error for an invalid queue address. */
export class QueueUrlError extends Error {
  override readonly name = 'QueueUrlError'
}

const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]'])

/** Whether an address names this host. */
export function isLoopback(hostname: string): boolean {
  return LOOPBACK.has(hostname)
}

/**
 * Checks the address of a queue's server, Redis or PostgreSQL. A writer of the queue can run code on its workers: off the loopback
 * it has to be reached by TLS, with a password.
 *
 * @throws QueueUrlError that shows no password
 */
export function checkedQueueUrl(text: string): string {
  if (!URL.canParse(text))
    throw new QueueUrlError('--queue: give redis://127.0.0.1:6379, rediss://:PASSWORD@HOST:6379 or postgres://…')
  const { protocol, hostname, password, searchParams } = new URL(text)
  const name = `${protocol}//${hostname}`
  if (!['redis:', 'rediss:', 'postgres:', 'postgresql:'].includes(protocol))
    throw new QueueUrlError(`--queue ${name}: a queue is on Redis, redis:// or rediss://, or PostgreSQL, postgres://`)
  if (isLoopback(hostname)) return text
  const why = 'as whoever can write the queue can run code on workers'
  if (protocol === 'redis:') throw new QueueUrlError(`--queue ${name}: use rediss:// (TLS), ${why}`)
  if (protocol.startsWith('postgres') && searchParams.get('sslmode') !== 'verify-full')
    throw new QueueUrlError(`--queue ${name}: add ?sslmode=verify-full (TLS), ${why}`)
  if (password === '') throw new QueueUrlError(`--queue ${name}: give a password, ${why}`)
  return text
}
