import { createHash } from 'node:crypto'
import { createWriteStream, openAsBlob } from 'node:fs'
import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AwsClient } from 'aws4fetch'
import { isLoopback } from '../queue/queue.ts'
import { type Artefact, type ArtefactStore, digestOf, FolderStore, StoreError, verifiedFile } from './store.ts'

/**
 * Larger files go in parts of this size, at most 10,000 of them, as the S3 API allows ("Amazon S3 multipart upload limits": 5 MiB
 * to 5 GiB each).
 */
const PART_BYTES = 64 * 2 ** 20
const MOST_PARTS = 10_000
/** The hash of no bytes. */
const EMPTY = createHash('sha256').digest('hex')
/** Repeated with growing pauses after an error of the server: a restart takes a few seconds. */
const RETRIES = 8

/** A store on a server with the API of Amazon S3, which checks each upload by its hash. */
export class S3Store implements ArtefactStore {
  readonly #client: AwsClient
  readonly #base: string
  readonly #partBytes: number

  /**
   * @param address - `s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION`; without an endpoint, Amazon's
   * @param environment - with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and perhaps AWS_SESSION_TOKEN, AWS_REGION
   * @param partBytes - size of the parts of larger files
   * @throws StoreError that shows no secret
   */
  constructor(address: string, environment: NodeJS.ProcessEnv = process.env, partBytes: number = PART_BYTES) {
    this.#partBytes = partBytes
    if (!URL.canParse(address)) throw new StoreError('--store: give a folder, or s3://BUCKET/PREFIX')
    const { hostname: bucket, pathname, searchParams } = new URL(address)
    const region = searchParams.get('region') ?? environment['AWS_REGION'] ?? 'us-east-1'
    const endpoint = searchParams.get('endpoint') ?? `https://s3.${region}.amazonaws.com`
    if (bucket === '' || !URL.canParse(endpoint))
      throw new StoreError('--store: give s3://BUCKET/PREFIX?endpoint=https://HOST, or a folder')
    const { protocol, hostname } = new URL(endpoint)
    if (protocol !== 'https:' && !(protocol === 'http:' && isLoopback(hostname)))
      throw new StoreError(`--store ${protocol}//${hostname}: use https, as artefacts show what guests do`)
    const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = environment
    if (accessKeyId === undefined || secretAccessKey === undefined)
      throw new StoreError('--store s3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY')
    const { AWS_SESSION_TOKEN: sessionToken } = environment
    this.#client = new AwsClient({
      ...{ accessKeyId, secretAccessKey, region, service: 's3', retries: RETRIES },
      ...(sessionToken === undefined ? {} : { sessionToken }),
    })
    this.#base = [endpoint.replace(/\/+$/, ''), bucket, ...pathname.split('/').filter((part) => part !== '')].join('/')
  }

  async put(path: string): Promise<Artefact> {
    const digest = await digestOf(path)
    const { sha256, bytes } = digest
    if (bytes > MOST_PARTS * this.#partBytes)
      throw new StoreError(`${path} has ${bytes} bytes; a store on S3 takes ${MOST_PARTS * this.#partBytes}`)
    const head = await this.#ask('HEAD', sha256)
    if (head.status === 200) return digest
    const body = await openAsBlob(path)
    // The server refuses a body of another hash: a file may change while it is sent.
    if (bytes <= this.#partBytes) await this.#accepted('PUT', sha256, '', body, sha256)
    else await this.#putParts(path, digest, body)
    return digest
  }

  /** Source: the S3 API, CreateMultipartUpload, UploadPart, CompleteMultipartUpload, AbortMultipartUpload. */
  async #putParts(path: string, { sha256, bytes }: Artefact, file: Blob): Promise<void> {
    const begun = await (await this.#accepted('POST', sha256, '?uploads')).text()
    const upload = encodeURIComponent(/<UploadId>([^<]+)<\/UploadId>/.exec(begun)?.[1] ?? '')
    try {
      const whole = createHash('sha256')
      let parts = ''
      for (let at = 0, number = 1; at < bytes; at += this.#partBytes, number++) {
        const part = file.slice(at, at + this.#partBytes)
        const hash = createHash('sha256')
        for await (const chunk of part.stream()) {
          hash.update(chunk)
          whole.update(chunk)
        }
        const query = `?partNumber=${number}&uploadId=${upload}`
        const { headers } = await this.#accepted('PUT', sha256, query, part, hash.digest('hex'))
        parts += `<Part><PartNumber>${number}</PartNumber><ETag>${headers.get('etag')}</ETag></Part>`
      }
      if (whole.digest('hex') !== sha256) throw new StoreError(`${path} has been changed while it was sent`)
      const list = new Blob([`<CompleteMultipartUpload>${parts}</CompleteMultipartUpload>`])
      const done = await this.#accepted('POST', sha256, `?uploadId=${upload}`, list, await hashOf(list))
      // The server answers before all is done, so that an error comes with status 200, too.
      if (!(await done.text()).includes('CompleteMultipartUploadResult'))
        throw this.#refusal('POST', sha256, done.status)
    } catch (error) {
      await this.#ask('DELETE', sha256, `?uploadId=${upload}`).catch(() => undefined)
      throw error
    }
  }

  /** Makes a request that must succeed. @throws StoreError for any status but 200 */
  async #accepted(method: string, sha256: string, query: string, body?: Blob, bodySha256?: string): Promise<Response> {
    const answer = await this.#ask(method, sha256, query, body, bodySha256)
    if (answer.status !== 200) throw this.#refusal(method, sha256, answer.status)
    return answer
  }

  async get(sha256: string, path: string): Promise<void> {
    const { status, body } = await this.#ask('GET', sha256)
    if (status === 404) throw new StoreError(`the store ${this.#base} has no ${sha256}`)
    if (status !== 200 || body === null) throw this.#refusal('GET', sha256, status)
    await verifiedFile(path, sha256, (scratch) => pipeline(Readable.fromWeb(body), createWriteStream(scratch)))
  }

  async #ask(method: string, sha256: string, query = '', body?: Blob, bodySha256: string = EMPTY): Promise<Response> {
    try {
      return await this.#client.fetch(`${this.#base}/${sha256}${query}`, {
        ...{ method, headers: { 'x-amz-content-sha256': bodySha256 } },
        ...(body === undefined ? {} : { body }),
      })
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error)
      throw new StoreError(`the store ${this.#base} does not answer: ${cause}`)
    }
  }

  #refusal(method: string, sha256: string, status: number): StoreError {
    return new StoreError(`the store ${this.#base} refuses ${method} of ${sha256} with status ${status}`)
  }
}

async function hashOf(blob: Blob): Promise<string> {
  return createHash('sha256')
    .update(new Uint8Array(await blob.arrayBuffer()))
    .digest('hex')
}

/** Opens a store that an address or a folder names. @throws StoreError */
export function openStore(address: string): ArtefactStore {
  return address.startsWith('s3:') ? new S3Store(address) : new FolderStore(resolve(address))
}
