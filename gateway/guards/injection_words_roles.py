"""More words of the injection rules: roles, refusals, templates, data; and those that say how a match is meant.

Written as in `gateway.guards.injection_words`.
"""
# ruff: noqa: RUF001 (other scripts are what some rows are about)

from collections.abc import Mapping

ROLES: Mapping[str, str] = {
    "FROMNOW": """
        from_now_on starting_now from_here_on from_this_point henceforth from_this_moment as_of_now hereafter ab_jetzt
        von_jetzt_an ab_sofort desormais a_partir_de_maintenant dorenavant a_partir_de_ahora desde_ahora
        de_ahora_en_adelante d'ora_in_poi da_ora_in_poi da_adesso a_partir_de_agora de_agora_em_diante 从现在开始
        从现在起 现在开始 从此刻起 с_этого_момента отныне теперь_ты fortan
    """,
    "YOUARE": """
        you_are you're you_will you_must you_shall you_have you_can you_should act behave respond answer du_bist
        sie_sind du_wirst tu_es vous_etes tu_vas eres seras sos actua actuaras sei sarai agisci voce_e voce_agora sera
        aja 你是 你将 你就是 你要 你必须 ты ты_будешь ты_должен you_were you_now handle du_musst tu_dois debes devi deve
    """,
    "YOUARENOW": """
        you_are_now you're_now you_will_now_be you_are_going_to_be du_bist_jetzt du_bist_nun sie_sind_jetzt
        tu_es_maintenant vous_etes_maintenant ahora_eres eres_ahora ora_sei adesso_sei voce_agora_e agora_voce_e
        你现在是 现在你是 ты_теперь теперь_ты you_have_now_become you_now_are
    """,
    "ACTAS": """
        act_as act_like acting_as pretend imagine roleplay role-play role_play simulate simulating impersonate
        take_on_the_role assume_the_role play_the_role behave_as behave_like emulate you_are_going_to_pretend
        your_name_is you_will_be immersed_in spiele verhalte_dich tu_so agis_comme fais_semblant comporte-toi
        joue_le_role agissez_comme actua_como finge haz_de comportate_como fai_finta agisci_come comportati_come finja
        aja_como atue_como comporte-se 扮演 假装 假扮 充当 притворись представь веди_себя_как сыграи_роль
    """,
    "PERSONA": """
        dan d.a.n do_anything_now dude_mode aim_mode evilbot evil-bot jailbreak_mode jailbroken dan模式 越狱模式
        chaosgpt betterdan mongo_tom evil_confidant basedgpt freegpt darkgpt wormgpt fraudgpt antigpt anti-gpt
        dan_mode
        unrestricted_mode unfiltered_mode tout_faire_maintenant machiavellian omega_mode maximum_mode режиме_dan
        strive_to_avoid_norms yesman ucar evilgpt evil_ai evil_twin
    """,
    "SUREPERSONA": """
        do_anything_now strive_to_avoid_norms jailbreak_mode jailbroken dan_mode evil_confidant betterdan chaosgpt
        basedgpt antigpt always_intelligent_and_machiavellian stay_in_dan dan模式 越狱模式 chatgpt_with_developer_mode
        developer_mode_enabled developer_mode_output jailbreak_enabled
    """,
    "UNBOUND": """
        no_restrictions no_rules no_limits no_limitations no_filter no_filters no_guidelines no_boundaries
        no_censorship
        no_constraints no_ethics no_ethical no_moral no_morals without_restrictions without_any_restrictions
        without_limits without_limitations without_any_limitations without_filters without_any_filters uncensored
        unfiltered unrestricted amoral unethical unbound unchained without_rules without_censorship without_ethical
        without_moral without_any_ethical without_any_moral free_from_all free_from_any free_of_all free_of_any
        break_free broken_free not_bound not_restricted ignores_all without_guidelines without_any_rules freed_from
        without_any_guidelines without_any_constraints unlimited_ai no_content_policy no_safety any_ethical any_moral
        ohne_einschrankungen keine_regeln keine_einschrankungen unzensiert ohne_regeln ohne_filter sans_restriction
        sans_restrictions sans_limites sans_filtre aucune_regle aucune_restriction sans_censure sin_restricciones
        sin_limites sin_filtros sin_censura sin_reglas ninguna_restriccion senza_restrizioni senza_limiti senza_filtri
        senza_regole senza_censura nessuna_restrizione sem_restricoes sem_limites sem_filtros sem_regras sem_censura
        没有任何限制 没有限制 不受限制 不受任何限制 无限制 没有规则 无道德 不受约束 不受任何约束 без_ограничении
        без_правил без_цензуры без_фильтров без_каких-либо_ограничении никаких_ограничении immoral completely_amoral
        no_programming_guidelines
    """,
    "AI": """
        ai chatgpt gpt assistant chatbot language_model llm model bot claude gemini openai ki ia 人工智能 ии gpt-4
        copilot neural_network machine persona character ai_model response responses
    """,
    "REFUSE": """
        refuse refusing decline declining say_no apologize apologise reject deny question_me warn lecture moralize
        say_you_can't say_you_cannot say_that_you_can't say_you_are_unable say_i'm_sorry say_i_can't say_i_cannot
        say_i'm_unable verweigere verweigern ablehnen refuser refuses rechazar rechaces negarte negarti rifiutare
        rifiutarti recusar recuse 拒绝 отказываися отказывать отказываться break_character respond_with_i_cannot
        use_the_words_sorry say_sorry disobey reply_with_i'm_sorry reply_with_"i'm_sorry respond_with_i'm_sorry
    """,
    "DISCLAIMER": """
        disclaimer disclaimers warning warnings apology apologies caveat caveats moralizing ethical_considerations
        refusal refusals moral_lecture lectures lecturing avertissement advertencia advertencias avvertenze aviso
        warnungen hinweise 警告 免责声明 предупреждения предупреждении
    """,
    "BEGINWITH": """
        begin start starts begins starting beginning commence beginne commencez empieza comienza inizia comece 开头 开始
        начни prefix
    """,
    "COMPLIANT": """
        sure,_here absolutely!_here sure!_here of_course!_here sure_here absolutely,_here 'sure "sure 'absolutely
        "absolutely 'of_course "of_course 'yes,_ "yes,_ sure,_i_can yes,_master hello,_chatgpt_from_now
    """,
    "MUST": """
        must_comply must_obey will_comply always_comply have_to_comply comply_with_all comply_with_every must_answer
        obey_all obey_me obey_my answer_every must_always_comply must_always_answer always_obey fulfill_any answer_any
        must_do_anything complies_with_every answers_any answer_all fulfil_any complies_with_any musst_gehorchen
        debes_obedecer 必须服从 无条件服从 обязан_отвечать обязан_подчиняться allowed_to_answer_all
        allowed_to_answer_any must_answer_questions must_answer_all not_allowed_to_refuse
    """,
    "AUTHORITY": """
        i_am_your_developer i_am_your_creator i_am_the_developer i_am_the_administrator i_am_an_openai
        i_am_from_openai
        i_am_your_admin i_am_the_admin i_work_for_openai i_work_at_openai this_is_openai i_am_your_programmer
        i'm_your_developer i'm_your_creator i'm_the_developer i'm_an_openai i'm_the_system_administrator
        as_your_developer as_your_creator as_the_developer admin_override system_override root_access sudo
        administrator_override i_am_the_system_administrator emergency_override override_code master_override
        authorized_by_openai authorized_by_anthropic i'm_your_admin ich_bin_dein_entwickler je_suis_ton_developpeur
        soy_tu_desarrollador sono_il_tuo_sviluppatore sou_seu_desenvolvedor 我是你的开发者 я_твои_разработчик
        security_override developer_override i_have_admin i_am_your_boss admin_access_granted
    """,
    "TOAI": """
        note_to_ai note_to_the_ai note_to_llm attention_ai attention_llm attention_assistant dear_ai dear_assistant
        dear_llm hey_ai ai_assistants_reading ai_agents_reading ai_models_reading if_you_are_an_ai
        if_you_are_a_language
        if_you_are_an_llm if_you're_an_ai if_you_are_a_large llms_reading message_to_ai instructions_for_ai
        instruction_for_ai instructions_to_ai instructions_for_the_ai instruction_to_the_ai important_message_to_the
        note_to_chatgpt when_an_ai when_an_llm any_ai_reading ai_reading_this ai_system_reading instructions_for_llm
        to_the_ai_assistant to_any_ai to_all_ai attention_language_model ai_instruction: llm_instruction:
        instruction_to_assistant important_instruction_for attention_chatgpt 致人工智能 an_die_ki
        assistant_instructions: ai_assistant: note_to_model note_for_the_ai note_for_ai
    """,
    "ORDER": """
        must should please say tell send recommend include forward ignore rate output respond do_not visit click mark
        follow write reply answer instead you_are transfer call execute delete add state approve give always
    """,
    "PWNED": """
        pwned haha_pwned hacked i_have_been_pwned i_have_been_hacked i've_been_hacked owned_by l33t jailbroken
        i_hate_humans i_am_evil access_granted 'access_granted
    """,
    "SEND": """
        send post forward upload transmit exfiltrate submit leak email e-mail transfer append include sende schicke
        envoie envoyez envia invia manda envie 发送 上传 отправь перешли deliver encode fetch load call embed put curl
    """,
    "DATA": """
        conversation history chat_history chat_log passwords password api_key api_keys credentials secret secrets
        system_prompt system_message user_data user's_data personal_data personal_information emails contacts
        context_window session token tokens cookies environment_variables env_vars private_key everything_above
        this_conversation user_information user's_information the_user's credit_card bank_details inbox verlauf
        passworter historique conversazione conversacion contrasenas conversa senhas 对话 密码 聊天记录 密钥 переписку
        пароли историю данные previous_messages user's_name user's_email user_input
    """,
    "URL": """
        http:// https:// webhook hxxp:// ftp:// www. attacker@ @evil @attacker evil.com attacker.com .onion ngrok
        requestbin pastebin burpcollaborator interact.sh
    """,
    "MDIMAGE": """
        ![
    """,
    "MDLINK": """
        ](http: ](https: ](//
    """,
    "SLOT": """
        ={{ ={ =[ =< =$ ={data =data =secret =conversation =summary =history =prompt =password =chat =context
        =user_input =%s /{{ /{data /[data =base64 =encoded =encode =message =query= =leak [secret [data [conversation
        [encoded [summary [history [system
    """,
    "DECODE": """
        decode decrypt base64 base-64 rot13 rot-13 hex hexadecimal unscramble decipher dekodiere decode-le decodifica
        decodifique 解码 解密 декодируи расшифруи caesar_cipher morse backwards reversed reverse
    """,
    "EXECUTE": """
        execute follow_the_instructions follow_the_instruction follow_it follow_them follow_its and_obey carry_out
        do_what_it_says do_what_they_say do_as_it_says run_it act_on comply_with perform_the follow_what then_follow
        follow_instructions ausfuhren fuhre_aus fuhre execute_les suis_les sigue_las ejecuta esegui segui execute_as
        siga_as 执行 遵循 照做 выполни следуи obey and_follow and_execute and_respond_to_it and_answer_it respond_to_it
    """,
    "TEMPLATE": """
        <|im_start|> <|im_end|> <|system|> <|user|> <|assistant|> <|endoftext|> <|start_header_id|> <|eot_id|>
        <|begin_of_text|> [inst] [/inst] <<sys>> <</sys>> <start_of_turn> <end_of_turn> <|end|> <|channel|>
        <|message|>
        <|end_of_turn|> </user> </prompt> </user_input> [end_of_context] </untrusted> <|endofprompt|>
    """,
    "ROLE": """
        ^system: ^system_: ^#system ^###_system ^##_system ^###system ^system_message: ^system_prompt: ^[system]:
        ^system_override ^new_instructions: ^new_instruction: ^###_instruction: ^###_instructions: ^###_new
        ^<|im_start|>system ^assistant: ^**system** ^[system_note ^system_note: ^\"\"\"_system ^---_system ^admin:
        ^developer: ^systemnachricht: ^系统： ^系统: ^система: ^sistema: ^systeme: ^important_system
    """,
    "ENDPROMPT": """
        end_of_prompt end_of_system end_of_system_prompt end_of_instructions end_of_input end_of_document end_prompt
        end_of_user_input end_of_text end_instructions ---end--- begin_new_instructions begin_instructions
        start_of_new_instructions end_system_prompt end_of_context end_of_file_system begin_system end_of_the_prompt
    """,
    "SWITCH": """
        activate enable enter switch_to turn_on enabled aktiviere active activez activa attiva ative 开启 启用 进入
        включи активируи перейди
    """,
    "SAFETY": """
        ethical_guidelines moral_guidelines content_policy content_policies safety_guidelines safety_filters
        safety_filter safety_protocols openai_policies openai's_policies safety_rules safety_measures
        ethics_guidelines
        ethical_constraints ethical_restrictions all_restrictions any_restrictions content_filter content_filters
        safety_features your_restrictions your_limitations your_filters your_safety your_ethics your_ethical
        your_morals
        your_guardrails the_guardrails your_safeguards the_safeguards moral_constraints moral_restrictions
        the_safety_filters the_content_filter usage_policies safety_training safety_settings safety_restrictions
        sicherheitsrichtlinien sicherheitsfilter filtres_de_securite filtros_de_seguridad filtri_di_sicurezza
        filtros_de_seguranca 安全限制 安全准则 道德限制 内容政策 ограничения_безопасности этические_нормы
    """,
    "EVADE": """
        bypass bypassing circumvent disable deactivate turn_off switch_off remove lift evade get_around suspend umgehe
        deaktiviere contourne desactive elude desactiva aggira disattiva contorne desative 绕过 关闭 解除 обоиди отключи
    """,
    "DEVMODE": """
        developer_mode devmode dev_mode god_mode godmode sudo_mode debug_mode maintenance_mode root_mode admin_mode
        entwicklermodus mode_developpeur modo_desarrollador modalita_sviluppatore modo_desenvolvedor 开发者模式
        режим_разработчика режиме_разработчика diagnostic_mode override_mode opposite_mode test_mode training_mode
    """,
    "FAKESYSTEM": """
        <|im_start|>system <|system|> <<sys>> </system> <|start_header_id|>system [/inst] <|im_end|> <system> [system]
        </instructions> </system_prompt> <system_prompt> <<system>> [system_prompt] </untrusted> <|start|>system
        <|start|>developer <|developer|>
    """,
}

ASIDES: Mapping[str, str] = {
    "NEG": """
        not don't dont do_not never no_longer stop cease cannot can't aren't isn't without nicht niemals kein ne_pas
        jamais no nunca non mai nao jamas 不要 不得 别 не никогда needn't shouldn't should_not must_not mustn't refrain
    """,
    "META": """
        prompt_injection prompt-injection injection injections injected attack attacks attacker attackers
        attacked jailbreaks jailbreaking classifier classifiers detect detects detector
        detection filter guardrail defend defends defense defence defending mitigate mitigates mitigation
        vulnerability vulnerabilities owasp red_team red_teaming red-team adversarial malicious exploit trick
        tricks tricking hackers example_of examples_of such_as e.g. phrase phrases beispiel angriff angriffe
        angreifer attaque attaques ataque ataques attacco attacchi exemple ejemplo esempio exemplo 攻击 注入 例如 论文
        研究 атаки атака атак наприм* инъекции инъекция злоумышленник* regex keyword keywords blocked flags
        flagged flag blocks scam phishing how_to_protect security_team users_who someone_types someone_writes
        user_types if_a_user if_someone prevents prevent spot_the is_a_common is_an_example classic infamous
        angriffs suspicious
    """,
    "EXCUSE": """
        academic article awareness blog book chapter dataset documentation educational
        homework is_considered lecture paper protect protects research researcher
        researchers slide slides studies study studying test_case test_cases thesis tutorial unit_test
        users_may users_might would_be 研究 论文
    """,
    "METAQUOTED": """
        translate translation mean means meaning phrase word words sentence title titled text say says said
        wrote writes
        quote quoted called means_that headline caption comment commit string line spell spelling rhyme ubersetze
        bedeutet traduis traduire signifie traduce significa traduci 翻译 意思 переведи означает grammar grammatical
        proofread rewrite error_message variable function label button asks asked reads contains find search replace
        slogan subject known_as
    """,
    "REPORTED": """
        told_him_to told_her_to told_them_to told_me_to told_us_to told_his told_her told_the asked_him_to
        asked_her_to
        asked_them_to asked_us_to asked_me_to asked_the tells_the tell_the instructed_the decided_to chose_to
        tended_to
        tend_to tends_to want_to wants_to wanted_to tried_to trying_to tries_to likely_to easy_to people people_who he
        she they we who users often students drivers players i_always i_often i_never i_usually do_you why_do how_do
        should_i can_i is_it_ok_to what_happens if_i when_i i_accidentally why_does how_does why_did models llms
        it_is_wrong_to makes_the causes_the instructs_the convince_the get_the
    """,
    "IFYOU": """
        if_you_have if_you've if_you_already if_you_did if_you_don't if_you_do_not if_you_received if_your if_it
        if_they if_this unless_you when_you wenn_sie si_vous si_tu si_ya se_hai se_voce
    """,
}
"""Words that stand in no rule of their own, but say how a match is meant."""
