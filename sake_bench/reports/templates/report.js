for (const picker of document.querySelectorAll('.picker')) {
  const choices = [...picker.querySelectorAll(':scope > .choice')];
  if (choices.length < 2) continue;
  const select = document.createElement('select');
  choices.forEach((choice, i) => {
    const option = document.createElement('option');
    option.value = String(i);
    option.textContent = choice.querySelector('summary').textContent;
    select.append(option);
  });
  const show = () => choices.forEach((choice, i) => { choice.open = i === Number(select.value); });
  const label = document.createElement('label');
  label.className = 'pick';
  label.append(picker.dataset.label, select);
  picker.prepend(label);
  picker.classList.add('picked');
  select.addEventListener('change', show);
  show();
}
