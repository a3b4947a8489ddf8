import { useEffect, useId, useRef } from 'preact/hooks'

interface AskProps {
  readonly question: string
  readonly detail: string
  /** The user's choices, the safest first. */
  readonly answers: readonly { readonly name: string; readonly action: () => void }[]
  /** Called when the user cancels. */
  readonly cancel: () => void
}

/** A question before an action that cannot be undone. */
export function Ask({ question, detail, answers, cancel }: AskProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    dialog.current!.showModal()
    // Enter alone does nothing.
    dialog.current!.querySelector<HTMLElement>('[value]')!.focus()
  }, [])
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={cancel}>
      <h2 id={id}>{question}</h2>
      <p>{detail}</p>
      <div class="actions">
        {answers.map(({ name, action }, i) => (
          <button key={name} class={answers.length > 1 && i === 0 ? 'primary' : ''} onClick={action}>
            {name}
          </button>
        ))}
        <button value="cancel" onClick={cancel}>
          Cancel
        </button>
      </div>
    </dialog>
  )
}
